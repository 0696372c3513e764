;; Raises a signal to kill the process.
;;
;; attacks: escape
;; call: /raise
;; expect: 200 58
;; within: 2s
(module
  (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "raise") (result i32) (call $raise (i32.const 9))))
