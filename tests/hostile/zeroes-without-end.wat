;; Has the host write as many zeros to standard error as 64 bits can say, and then a terabyte of them.
;;
;; attacks: output
;; call: /write?length=18446744073709551615
;; expect: 500 trap
;; call: /write?length=1099511627776
;; expect: 500 trap
;; within: 2s
(component
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (alias outer 1 $error (type $e)) (export "error" (type $error (eq $e)))
    (type $failure' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $failure (eq $failure')))
    (export "[method]output-stream.write-zeroes" (func (param "self" (borrow $out)) (param "len" u64)
      (result (result (error $failure)))))))
  (alias export $streams "output-stream" (type $out))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $out (type $o)) (export "output-stream" (type $out (eq $o)))
    (export "get-stderr" (func (result (own $out))))))
  (core module $libc (memory (export "memory") 1))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $stderr "get-stderr")))
  (core func $zeroes (canon lower (func $streams "[method]output-stream.write-zeroes")
    (memory (core memory $libc "memory"))))
  (core module $m
    (import "host" "get" (func $get (result i32)))
    (import "host" "zeroes" (func $zeroes (param i32 i64 i32)))
    (func (export "write") (param $length i64)
      (call $zeroes (call $get) (local.get $length) (i32.const 16))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "get" (func $get)) (export "zeroes" (func $zeroes))))))
  (func (export "write") (param "length" u64) (canon lift (core func $i "write"))))
