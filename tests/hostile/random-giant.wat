;; Has the host fill 60 MiB with randomness in one call, over and over.
;;
;; attacks: cpu
;; call: /fill
;; expect: 500 trap limit
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "fill") (loop $again (drop (call $random (i32.const 0) (i32.const 62914560))) (br $again))))
