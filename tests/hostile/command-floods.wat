;; A program that writes to standard output for ever: its response breaks off at the limit of streams.
;;
;; attacks: output
;; limits: stream = "1MiB"
;; call: /
;; expect: breaks off
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 0) "\00\00\01\00\00\00\01\00")
  (func (export "_start")
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br $again))))
