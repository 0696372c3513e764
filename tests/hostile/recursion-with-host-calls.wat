;; Calls the host at every level of an endless recursion: the host has to run on what the guest left of the stack.
;;
;; attacks: stack
;; limits: cpu = "5s"
;; call: /deep
;; expect: 500 stack-overflow
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "/etc/passwd")
  (func $deep (export "deep") (result i32)
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 0)))
    (drop (call $random (i32.const 128) (i32.const 8)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 8)))
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 11) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)))
    ;; One subscription: the clock 0, for no time.
    (drop (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 8)))
    (i32.add (call $deep) (i32.const 1))))
