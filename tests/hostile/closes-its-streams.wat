;; Closes its standard streams, renumbers them over one another, and writes to what is left.
;;
;; attacks: host
;; call: /close
;; expect: 200 8
;; within: 5s
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\40\00\00\00\01\00\00\00")
  (func (export "close") (result i32)
    (drop (call $renumber (i32.const 1) (i32.const 2)))
    (drop (call $close (i32.const 0)))
    (drop (call $close (i32.const 2)))
    (drop (call $renumber (i32.const 7) (i32.const -1)))
    (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16))))
