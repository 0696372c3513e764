;; Makes the fields of HTTP messages for ever, fills each to its bound, and keeps them all.
;;
;; attacks: host
;; limits: cpu = "5s"
;; call: /hoard
;; expect: 500 trap
;; within: 10s
(component
  (import "wasi:http/types@0.2.0" (instance $http
    (export "fields" (type $fields (sub resource)))
    (type $error' (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $error (eq $error')))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.append" (func (param "self" (borrow $fields)) (param "name" string)
      (param "value" (list u8)) (result (result (error $error)))))))
  (core module $libc
    (memory (export "memory") 1)
    (data (i32.const 64) "name")
    (data (i32.const 128) "@repeat(1000){x}"))
  (core instance $libc (instantiate $libc))
  (core func $new (canon lower (func $http "[constructor]fields")))
  (core func $append (canon lower (func $http "[method]fields.append") (memory (core memory $libc "memory"))))
  (core module $m
    (import "host" "new" (func $new (result i32)))
    (import "host" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (func (export "hoard") (local $fields i32)
      (loop $again
        (local.set $fields (call $new))
        (call $append (local.get $fields) (i32.const 64) (i32.const 4) (i32.const 128) (i32.const 60000)
          (i32.const 16))
        (br $again))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "new" (func $new)) (export "append" (func $append))))))
  (func (export "hoard") (canon lift (core func $i "hoard"))))
