;; Fails with a text that would clear an operator's screen and forge a line of the log.
;;
;; attacks: log
;; call: /give
;; expect: 422 task-error
;; within: 2s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\01\00\00\00\40\00\00\00\2d\00\00\00") (data (i32.const 64) "\1b[2J\1b[H\0d\0a2026-11-26T00:00:00Z ERROR forged line\0a")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result (result (error string))) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
