;; Guests that never return, and one that does at once.
;;
;; Each loop is called through two more functions, so that a backtrace has names to show.
(module
  (func $spin (loop $again (br $again)))
  (func $middle (call $spin))
  (func $endless (export "endless") (call $middle))

  ;; Counts down: about a nanosecond of processor time per step.
  (func (export "busy") (param $steps i64)
    (loop $again
      (local.set $steps (i64.sub (local.get $steps) (i64.const 1)))
      (br_if $again (i64.gt_s (local.get $steps) (i64.const 0)))))

  (func (export "short") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
