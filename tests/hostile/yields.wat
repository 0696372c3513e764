;; Yields to the host for ever.
;;
;; attacks: cpu
;; call: /yield
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory (export "memory") 1)
  (func (export "yield") (loop $again (drop (call $yield)) (br $again))))
