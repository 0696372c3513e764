;; Asks every descriptor whether it is a directory that was opened for it, and opens files in each nevertheless.
;;
;; attacks: escape
;; limits: cpu = "5s"
;; call: /count
;; expect: 200 0
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 128) "/etc/passwd")
  (data (i32.const 160) "../../../../etc/passwd")
  (data (i32.const 192) ".")
  (func $try (param $fd i32) (param $path i32) (param $length i32) (result i32)
    (i32.eqz (call $open (local.get $fd) (i32.const 1) (local.get $path) (local.get $length) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 64))))
  (func (export "count") (result i32) (local $fd i32) (local $found i32)
    (loop $next
      (local.set $found (i32.add (local.get $found)
        (i32.add
          (i32.add
            (i32.eqz (call $prestat (local.get $fd) (i32.const 64)))
            (call $try (local.get $fd) (i32.const 128) (i32.const 11)))
          (i32.add
            (call $try (local.get $fd) (i32.const 160) (i32.const 22))
            (call $try (local.get $fd) (i32.const 192) (i32.const 1))))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $fd) (i32.const 1000))))
    (local.get $found)))
