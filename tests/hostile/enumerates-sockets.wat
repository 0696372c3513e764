;; Tries every descriptor as a socket: to accept, to receive, to send, to shut down.
;;
;; attacks: escape
;; limits: cpu = "5s"
;; call: /count
;; expect: 200 0
;; within: 10s
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "count") (result i32) (local $fd i32) (local $found i32)
    (loop $next
      (local.set $found (i32.add (local.get $found)
        (i32.add
          (i32.add
            (i32.eqz (call $accept (local.get $fd) (i32.const 0) (i32.const 64)))
            (i32.eqz (call $recv (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 64) (i32.const 72))))
          (i32.add
            (i32.eqz (call $send (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 64)))
            (i32.eqz (call $shutdown (local.get $fd) (i32.const 3)))))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $fd) (i32.const 1000))))
    (local.get $found)))
