;; Makes an array of a billion elements.
;;
;; attacks: memory
;; call: /make?0=1000000000
;; expect: 500 memory-exceeded
;; call: /make?0=-1
;; expect: 500 memory-exceeded
;; within: 10s
(module
  (type $array (array (mut i64)))
  (func (export "make") (param i32) (result i32)
    (array.len (array.new $array (i64.const 1) (local.get 0)))))
