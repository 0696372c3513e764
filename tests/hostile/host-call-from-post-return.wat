;; The clean-up after an answer calls the host, which it must not.
;;
;; attacks: stack
;; call: /answer
;; expect: 500 trap cannot leave component instance
;; within: 5s
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
  (core func $now (canon lower (func $clock "now")))
  (core module $m
    (import "clock" "now" (func $now (result i64)))
    (func (export "answer") (result i32) (i32.const 42))
    (func (export "clean") (param i32) (drop (call $now))))
  (core instance $i (instantiate $m (with "clock" (instance (export "now" (func $now))))))
  (func (export "answer") (result u32)
    (canon lift (core func $i "answer") (post-return (core func $i "clean")))))
