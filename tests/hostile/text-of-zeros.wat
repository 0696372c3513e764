;; Returns a megabyte of zeros as text, which JSON writes as six.
;;
;; attacks: output
;; call: /give
;; expect: 500 output-too-large
;; within: 2s
(component
  (core module $m
    (memory (export "memory") 32)
    (data (i32.const 8) "\00\00\01\00\00\00\10\00")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "give") (result (tuple string)) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
