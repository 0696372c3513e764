;; Gives the host bytes that are no UTF-8 as a text.
;;
;; attacks: host
;; call: /set
;; expect: 500 trap utf-8
;; within: 5s
(component
  (import "unblock:task/body@0.1.0" (instance $body
    (export "set-content-type" (func (param "media-type" string)))))
  (core module $libc
    (memory (export "memory") 1)
    (data (i32.const 0) "text/\ff\fe"))
  (core instance $libc (instantiate $libc))
  (core func $set (canon lower (func $body "set-content-type") (memory (core memory $libc "memory"))))
  (core module $m
    (import "body" "set" (func $set (param i32 i32)))
    (func (export "set") (call $set (i32.const 0) (i32.const 7))))
  (core instance $i (instantiate $m (with "body" (instance (export "set" (func $set))))))
  (func (export "set") (canon lift (core func $i "set"))))
