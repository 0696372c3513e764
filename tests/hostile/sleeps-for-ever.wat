;; Waits as long as 64 bits can say, by one clock and the other, from now on and until then: where times are
;; added up, they overflow.
;;
;; attacks: wall
;; limits: wall = "500ms"
;; call: /sleep?0=0&1=0
;; expect: 504 deadline-exceeded
;; call: /sleep?0=1&1=0
;; expect: 504 deadline-exceeded
;; call: /sleep?0=0&1=1
;; expect: 504 deadline-exceeded
;; call: /sleep?0=1&1=1
;; expect: 504 deadline-exceeded
;; within: 3s
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sleep") (param $clock i32) (param $absolute i32)
    (i32.store (i32.const 16) (local.get $clock))
    (i64.store (i32.const 24) (i64.const -1))
    (i32.store16 (i32.const 40) (local.get $absolute))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
