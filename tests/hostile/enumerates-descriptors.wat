;; Looks for descriptors that nobody gave it: how many of twenty thousand numbers are something.
;;
;; attacks: escape
;; limits: cpu = "5s"
;; call: /count
;; expect: 200 3
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "count") (result i32) (local $fd i32) (local $found i32)
    (loop $next
      (local.set $found (i32.add (local.get $found) (i32.eqz (call $stat (local.get $fd) (i32.const 64)))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $fd) (i32.const 20000))))
    (local.get $found)))
