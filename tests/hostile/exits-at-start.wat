;; Ends the process from its start function.
;;
;; attacks: escape
;; call: /answer
;; expect: 502 bad-response exit(7)
;; within: 2s
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $set_up (call $exit (i32.const 7)))
  (start $set_up)
  (func (export "answer") (result i32) (i32.const 42)))
