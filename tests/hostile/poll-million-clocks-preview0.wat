;; Waits for half a million clocks in one call, over and over, through preview 0.
;;
;; attacks: host
;; call: /poll
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (import "wasi_unstable" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "poll")
    (loop $again
      (drop (call $poll (i32.const 0) (i32.const 50331648) (i32.const 500000) (i32.const 67108800)))
      (br $again))))
