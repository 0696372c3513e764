;; Waits as long as 64 bits can say, by the clock of WASI 0.3.
;;
;; attacks: wall
;; limits: wall = "500ms"
;; call: /for
;; expect: 504 deadline-exceeded
;; call: /until
;; expect: 504 deadline-exceeded
;; within: 3s
(component
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
    (export "wait-for" (func async (param "how-long" u64)))
    (export "wait-until" (func async (param "when" u64)))))
  (core func $for (canon lower (func $clock "wait-for")))
  (core func $until (canon lower (func $clock "wait-until")))
  (core module $m
    (import "host" "for" (func $for (param i64)))
    (import "host" "until" (func $until (param i64)))
    (func (export "for") (call $for (i64.const -1)))
    (func (export "until") (call $until (i64.const -1))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "for" (func $for)) (export "until" (func $until))))))
  (func (export "for") async (canon lift (core func $i "for")))
  (func (export "until") async (canon lift (core func $i "until"))))
