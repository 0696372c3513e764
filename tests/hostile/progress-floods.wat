;; Reports progress of not a number, with a message of a megabyte, for ever.
;;
;; attacks: log
;; call: /report
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (import "unblock:task/progress@0.1.0" (instance $progress
    (export "report" (func (param "fraction" f64) (param "message" string)))))
  (core module $libc (memory (export "memory") 32))
  (core instance $libc (instantiate $libc))
  (core func $report (canon lower (func $progress "report") (memory (core memory $libc "memory"))))
  (core module $m
    (import "progress" "report" (func $report (param f64 i32 i32)))
    (func (export "report")
      (loop $again (call $report (f64.const nan) (i32.const 0) (i32.const 1048576)) (br $again))))
  (core instance $i (instantiate $m (with "progress" (instance (export "report" (func $report))))))
  (func (export "report") (canon lift (core func $i "report"))))
