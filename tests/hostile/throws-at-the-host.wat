;; Throws an exception that nobody catches.
;;
;; attacks: host
;; call: /throw
;; expect: 500 trap exception
;; within: 5s
(module
  (tag $t (param i32))
  (func (export "throw") (throw $t (i32.const 1))))
