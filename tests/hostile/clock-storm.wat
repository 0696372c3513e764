;; A component that asks WASI's clock for ever.
;;
;; attacks: cpu
;; call: /storm
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "now" (func (result u64)))))
  (core module $m
    (import "clock" "now" (func $now (result i64)))
    (func $storm (export "storm") (loop $again (drop (call $now)) (br $again)))
    (func (export "advances") (result i32)
      (i64.gt_u (i64.sub (call $now) (i64.const 0)) (i64.const 0))))
  (core func $now (canon lower (func $clock "now")))
  (core instance $i (instantiate $m (with "clock" (instance (export "now" (func $now))))))
  (func (export "storm") (canon lift (core func $i "storm")))
  (func (export "advances") (result bool) (canon lift (core func $i "advances"))))
