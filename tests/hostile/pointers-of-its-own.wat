;; Gives the host pointers beyond its memory: in every function that takes one, at its end, and so far up
;; that the sum wraps around.
;;
;; attacks: host
;; call: /clock
;; expect: 500 trap out of bounds
;; call: /random
;; expect: 500 trap out of bounds
;; call: /write
;; expect: 500 trap out of bounds
;; call: /buffers
;; expect: 500 trap
;; call: /stat
;; expect: 500 trap out of bounds
;; call: /environ
;; expect: 500 trap out of bounds
;; within: 5s
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: a buffer of 16 bytes that begins 8 bytes before the end.
  (data (i32.const 0) "\f8\ff\00\00\10\00\00\00")
  (func (export "clock") (result i32) (call $clock (i32.const 1) (i64.const 1) (i32.const 65532)))
  (func (export "random") (result i32) (call $random (i32.const -4) (i32.const 8)))
  (func (export "write") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
  (func (export "buffers") (result i32)
    (call $write (i32.const 1) (i32.const 65532) (i32.const 0x20000000) (i32.const 16)))
  (func (export "stat") (result i32) (call $stat (i32.const 1) (i32.const 0x7fffffff)))
  (func (export "environ") (result i32) (call $environ (i32.const 65536) (i32.const -8))))
