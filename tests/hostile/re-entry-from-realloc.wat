;; The allocator calls the host, whose result asks the allocator, and so on without end.
;;
;; attacks: stack
;; call: /ask
;; expect: 500 trap cannot leave component instance
;; within: 5s
(component
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $shim
    (table (export "table") 1 funcref)
    (func (export "bytes") (param i64 i32)
      (call_indirect (param i64 i32) (local.get 0) (local.get 1) (i32.const 0))))
  (core instance $shim (instantiate $shim))
  (core module $m
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call $bytes (i64.const 8) (i32.const 0)) (i32.const 64))
    (func (export "ask") (call $bytes (i64.const 8) (i32.const 0))))
  (core instance $i (instantiate $m (with "host" (instance $shim))))
  (core func $bytes (canon lower (func $random "get-random-bytes")
    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (core module $fix
    (import "shim" "table" (table 1 funcref))
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (elem (i32.const 0) func $bytes))
  (core instance (instantiate $fix
    (with "shim" (instance $shim)) (with "host" (instance (export "bytes" (func $bytes))))))
  (func (export "ask") (canon lift (core func $i "ask"))))
