;; Sleeps for a hundred years in every slot that its task may have, with as many calls again in its queue: the
;; other slots are there for others.
;;
;; attacks: host
;; crowd: 64
;; call: /sleep
;; expect: hang-up
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sleep")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3155760000000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
