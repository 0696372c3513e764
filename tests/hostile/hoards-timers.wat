;; Makes timers for ever and lets none go: each costs the host memory.
;;
;; attacks: host
;; limits: cpu = "5s"
;; call: /hoard
;; expect: 500 trap
;; within: 10s
(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $pollable (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (func (export "hoard") (loop $again (drop (call $subscribe (i64.const 1000000000000))) (br $again))))
  (core instance $i (instantiate $m (with "host" (instance (export "subscribe" (func $subscribe))))))
  (func (export "hoard") (canon lift (core func $i "hoard"))))
