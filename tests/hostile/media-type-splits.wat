;; States a media type that holds a line break and a header of its own.
;;
;; attacks: output
;; call: /set
;; expect: 502 bad-response
;; within: 2s
(component
  (import "unblock:task/body@0.1.0" (instance $body
    (export "set-content-type" (func (param "media-type" string)))))
  (core module $libc
    (memory (export "memory") 1)
    (data (i32.const 0) "text/plain\0d\0aSet-Cookie: admin=1"))
  (core instance $libc (instantiate $libc))
  (core func $set (canon lower (func $body "set-content-type") (memory (core memory $libc "memory"))))
  (core module $m
    (import "body" "set" (func $set (param i32 i32)))
    (func (export "set") (call $set (i32.const 0) (i32.const 31))))
  (core instance $i (instantiate $m (with "body" (instance (export "set" (func $set))))))
  (func (export "set") (canon lift (core func $i "set"))))
