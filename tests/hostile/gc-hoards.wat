;; Makes a list of structs for ever and keeps all of it.
;;
;; attacks: memory
;; limits: cpu = "5s"
;; call: /hoard
;; expect: 500 memory-exceeded
;; within: 10s
(module
  (type $node (struct (field (ref null $node)) (field i64) (field i64) (field i64)))
  (func (export "hoard") (local $list (ref null $node))
    (loop $again
      (local.set $list (struct.new $node (local.get $list) (i64.const 1) (i64.const 2) (i64.const 3)))
      (br $again))))
