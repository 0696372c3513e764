;; Recurs with frames of hundreds of kilobytes, to step over whatever guards the end of the stack.
;;
;; attacks: stack
;; limits: cpu = "5s"
;; call: /deep?0=0
;; expect: 500 stack-overflow
;; within: 10s
(module
  (func $use (param i64))
  (func $deep (export "deep") (param i32) (result i32)
    (local @repeat(20000){i64 })
    (local.set 1 (i64.extend_i32_s (local.get 0)))
    @repeat(2000){(local.set 9 (i64.add (local.get 9) (local.get 1)))}
    (drop (call $deep (i32.add (local.get 0) (i32.const 1))))
    (call $use (local.get 9))
    (i32.wrap_i64 (local.get 1))))
