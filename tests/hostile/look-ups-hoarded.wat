;; Looks up a granted name for ever, and waits for none of the answers: each look-up holds a thread of the host's.
;;
;; attacks: host
;; limits: cpu = "5s"
;; grants: sockets = ["localhost:9"]
;; call: /storm
;; expect: 500 trap handle limit
;; within: 10s
(component
  (import "wasi:sockets/network@0.2.0" (instance $network
    (export "network" (type $network (sub resource)))
    (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument"
      "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state"
      "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused"
      "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable"
      "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type $code (eq $codes)))))
  (alias export $network "network" (type $net))
  (alias export $network "error-code" (type $code))
  (import "wasi:sockets/instance-network@0.2.0" (instance $instance
    (alias outer 1 $net (type $n)) (export "network" (type $network (eq $n)))
    (export "instance-network" (func (result (own $network))))))
  (import "wasi:sockets/ip-name-lookup@0.2.0" (instance $lookup
    (export "resolve-address-stream" (type $stream (sub resource)))
    (alias outer 1 $net (type $n)) (export "network" (type $network (eq $n)))
    (alias outer 1 $code (type $c)) (export "error-code" (type $code (eq $c)))
    (export "resolve-addresses" (func (param "network" (borrow $network)) (param "name" string)
      (result (result (own $stream) (error $code)))))))
  (core module $libc (memory (export "memory") 1) (data (i32.const 64) "localhost"))
  (core instance $libc (instantiate $libc))
  (core func $network (canon lower (func $instance "instance-network")))
  (core func $resolve (canon lower (func $lookup "resolve-addresses") (memory (core memory $libc "memory"))))
  (core module $m
    (import "host" "network" (func $network (result i32)))
    (import "host" "resolve" (func $resolve (param i32 i32 i32 i32)))
    (func (export "storm") (local $network i32)
      (local.set $network (call $network))
      (loop $again
        (call $resolve (local.get $network) (i32.const 64) (i32.const 9) (i32.const 16))
        (br $again))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "network" (func $network)) (export "resolve" (func $resolve))))))
  (func (export "storm") (canon lift (core func $i "storm"))))
