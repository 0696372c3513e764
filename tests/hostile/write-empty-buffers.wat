;; Writes seven million empty buffers in one call, over and over: nothing to do, seven million times.
;;
;; attacks: cpu
;; call: /write
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "write")
    (loop $again
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 7000000) (i32.const 67108800)))
      (br $again))))
