;; Writes 60 MiB to standard error in one call, over and over.
;;
;; attacks: output
;; call: /write
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (data (i32.const 0) "\00\00\01\00\00\00\c0\03")
  (func (export "write")
    (loop $again
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br $again))))
