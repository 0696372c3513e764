;; A component with a core instance whose start function never returns, made before any function is called.
;;
;; attacks: cpu
;; call: /answer
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (core module $m
    (func $set_up (loop $again (br $again)))
    (start $set_up)
    (func (export "answer") (result i32) (i32.const 42)))
  (core instance $i (instantiate $m))
  (func (export "answer") (result u32) (canon lift (core func $i "answer"))))
