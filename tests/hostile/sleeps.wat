;; Sleeps for a hundred years.
;;
;; attacks: wall
;; limits: wall = "500ms"
;; call: /sleep
;; expect: 504 deadline-exceeded
;; within: 2s
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sleep")
    ;; A subscription: 0 its user data, 8 the tag 0 of a clock, 16 which clock, 24 how long, 40 relative.
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3155760000000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
