;; Writes nothing to its response, for ever.
;;
;; attacks: cpu
;; call: /write
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (import "unblock:task/body@0.1.0" (instance $body (export "write" (func (param "chunk" (list u8))))))
  (core module $libc (memory (export "memory") 16))
  (core instance $libc (instantiate $libc))
  (core func $write (canon lower (func $body "write") (memory (core memory $libc "memory"))))
  (core module $m
    (import "body" "write" (func $write (param i32 i32)))
    (func (export "write") (loop $again (call $write (i32.const 0) (i32.const 0)) (br $again))))
  (core instance $i (instantiate $m (with "body" (instance (export "write" (func $write))))))
  (func (export "write") (canon lift (core func $i "write"))))
