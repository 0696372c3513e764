;; A start function that never returns: loading must not run it, each call does.
;;
;; attacks: cpu
;; call: /answer
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (func $set_up (loop $again (br $again)))
  (start $set_up)
  (func (export "answer") (result i32) (i32.const 42)))
