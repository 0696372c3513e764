;; Recurs until there is no stack left.
;;
;; attacks: stack
;; limits: cpu = "5s"
;; call: /deep?0=0
;; expect: 500 stack-overflow
;; within: 5s
(module
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1))))))
