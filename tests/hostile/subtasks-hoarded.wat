;; Starts a sleep of a century after the other, waits for none of them, and keeps them all.
;;
;; attacks: host
;; limits: cpu = "5s"
;; call: /hoard
;; expect: 500 trap
;; within: 10s
(component
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
    (export "wait-for" (func async (param "how-long" u64)))))
  (core func $wait (canon lower (func $clock "wait-for") async))
  (core module $m
    (import "host" "wait" (func $wait (param i64) (result i32)))
    (func (export "hoard") (result i32)
      (loop $again (drop (call $wait (i64.const 3155760000000000000))) (br $again)) (i32.const 0))
    (func (export "again") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "host" (instance (export "wait" (func $wait))))))
  (func (export "hoard") async
    (canon lift (core func $i "hoard") async (callback (core func $i "again")))))
