;; Gives its answer, and then never returns from the clean-up that the host calls after it.
;;
;; attacks: cpu
;; call: /answer
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (core module $m
    (func (export "answer") (result i32) (i32.const 42))
    (func (export "clean") (param i32) (loop $again (br $again))))
  (core instance $i (instantiate $m))
  (func (export "answer") (result u32)
    (canon lift (core func $i "answer") (post-return (core func $i "clean")))))
