;; Calls the host without exporting the memory that the host would write to.
;;
;; attacks: host
;; call: /ask
;; expect: 500 trap memory
;; within: 5s
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory 1)
  (func (export "ask") (result i32) (call $clock (i32.const 1) (i64.const 1) (i32.const 0))))
