;; A reactor whose set-up never returns.
;;
;; attacks: cpu
;; call: /answer
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (func $set_up (export "_initialize") (loop $again (br $again)))
  (func (export "answer") (result i32) (i32.const 42)))
