;; Guests that control time through host functions of the test's own.
;;
;; `test.ring` moves the engine's epoch, `test.yield` gives the worker back of the guest's own will,
;; `test.step` counts a loop's turns, `test.gate` returns once the test has opened the gate.
(module
  (import "test" "ring" (func $ring))
  (import "test" "yield" (func $yield))
  (import "test" "step" (func $step))
  (import "test" "gate" (func $gate))
  (import "test" "mark" (func $mark))

  ;; Rings `n` times, with a check of the epoch after each.
  (func (export "ring") (param $n i32)
    (loop $again
      (call $ring)
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n))))

  ;; Sinks, waits at the gate, rings, and then counts its turns for ever.
  (func (export "gated") (param $sink i64)
    (loop $again
      (local.set $sink (i64.sub (local.get $sink) (i64.const 1)))
      (br_if $again (i64.gt_s (local.get $sink) (i64.const 0))))
    (call $gate)
    (call $ring)
    (loop $again (call $step) (br $again)))

  ;; Tells the test that it ran.
  (func (export "mark") (call $mark))

  ;; Yields for ever.
  (func (export "yielder") (loop $again (call $step) (call $yield) (br $again))))
