;; Writes seven million buffers of the same megabyte in one call: terabytes by its own account.
;;
;; attacks: host
;; call: /write
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "write") (local $at i32)
    (loop $again
      (i32.store (local.get $at) (i32.const 0))
      (i32.store (i32.add (local.get $at) (i32.const 4)) (i32.const 1048576))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 60000000))))
    (loop $again
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 7000000) (i32.const 67108800)))
      (br $again))))
