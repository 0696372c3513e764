;; Makes UDP sockets until it gets no more, and keeps them: each is a descriptor that a caller's connection
;; cannot have. Says how many it got.
;;
;; attacks: host
;; limits: cpu = "5s"
;; grants: sockets = ["127.0.0.1:9"]
;; call: /hoard
;; expect: 200 256
;; within: 10s
(component
  (import "wasi:sockets/network@0.2.0" (instance $network
    (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument"
      "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state"
      "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused"
      "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable"
      "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type $code (eq $codes)))
    (type $families (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type $family (eq $families)))))
  (alias export $network "error-code" (type $code))
  (alias export $network "ip-address-family" (type $family))
  (import "wasi:sockets/udp@0.2.0" (instance $udp (export "udp-socket" (type $socket (sub resource)))))
  (alias export $udp "udp-socket" (type $socket))
  (import "wasi:sockets/udp-create-socket@0.2.0" (instance $create
    (alias outer 1 $code (type $c)) (export "error-code" (type $code (eq $c)))
    (alias outer 1 $family (type $f)) (export "ip-address-family" (type $family (eq $f)))
    (alias outer 1 $socket (type $s)) (export "udp-socket" (type $socket (eq $s)))
    (export "create-udp-socket" (func (param "address-family" $family)
      (result (result (own $socket) (error $code)))))))
  (core module $libc (memory (export "memory") 1))
  (core instance $libc (instantiate $libc))
  (core func $create (canon lower (func $create "create-udp-socket") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "create" (func $create (param i32 i32)))
    (func (export "hoard") (result i32) (local $got i32)
      (loop $again
        (call $create (i32.const 0) (i32.const 16))
        (if (i32.load8_u (i32.const 16)) (then (return (local.get $got))))
        (local.set $got (i32.add (local.get $got) (i32.const 1)))
        (br $again))
      unreachable))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc)) (with "host" (instance (export "create" (func $create))))))
  (func (export "hoard") (result u32) (canon lift (core func $i "hoard"))))
