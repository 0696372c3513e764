;; Counts the variables and arguments it can see: the gateway has secrets in its own.
;;
;; attacks: escape
;; call: /count
;; expect: 200 [0,0]
;; within: 2s
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "count") (result i32 i32)
    (drop (call $environ (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 8) (i32.const 12)))
    (i32.load (i32.const 0))
    (i32.load (i32.const 8))))
