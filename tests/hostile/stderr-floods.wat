;; Writes lines to standard error for ever.
;;
;; attacks: log
;; call: /cry
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\40\00\00\00\0c\00\00\00")
  (data (i32.const 64) "a complaint\0a")
  (func (export "cry")
    (loop $again
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br $again))))
