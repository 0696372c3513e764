;; A function that ends the process instead of returning: it ends its run.
;;
;; attacks: escape
;; call: /exit?0=0
;; expect: 502 bad-response
;; call: /exit?0=3
;; expect: 502 bad-response
;; call: /exit?0=-1
;; expect: 502 bad-response
;; within: 2s
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "exit") (param i32) (call $exit (local.get 0))))
