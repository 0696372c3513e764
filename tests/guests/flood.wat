;; Floods standard output or error through WASI preview 1, with 64 KiB a call.
;;
;; Memory: 0 one iovec, 16 the count of bytes written, 32 the last words, 64 KiB on the flood.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 32) "\nthe last words\n")

  ;; Gives the number of writes that failed or fell short.
  (func $flood (export "flood") (param $to i32) (param $writes i32) (result i32) (local $failed i32)
    (memory.fill (i32.const 65536) (i32.const 120) (i32.const 65536))
    (i32.store (i32.const 0) (i32.const 65536))
    (loop $again
      (i32.store (i32.const 4) (i32.const 65536))
      (if (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 16))
        (then (local.set $failed (i32.add (local.get $failed) (i32.const 1))))
        (else (if (i32.eqz (i32.load (i32.const 16)))
          (then (local.set $failed (i32.add (local.get $failed) (i32.const 1)))))))
      (local.set $writes (i32.sub (local.get $writes) (i32.const 1)))
      (br_if $again (i32.gt_s (local.get $writes) (i32.const 0))))
    (local.get $failed))

  ;; Floods standard error, says its last words, and crashes.
  (func $cry (export "cry")
    (drop (call $flood (i32.const 2) (i32.const 64)))
    (i32.store (i32.const 0) (i32.const 32))
    (i32.store (i32.const 4) (i32.const 16))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
    unreachable))
