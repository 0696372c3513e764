;; Opens a path of 60 MiB, over and over.
;;
;; attacks: host
;; call: /open
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "open")
    (memory.fill (i32.const 0) (i32.const 47) (i32.const 62914560))
    (loop $again
      (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 62914560) (i32.const 0)
        (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 67108800)))
      (br $again))))
