;; Two functions that tail-call one another for ever: no loop, and no stack that would end it.
;;
;; attacks: cpu
;; call: /ping
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (func $ping (export "ping") (return_call $pong))
  (func $pong (return_call $ping)))
