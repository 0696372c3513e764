;; Returns a list of a million enums of one byte each, whose case has a long name: what crosses is a hundred
;; times what the guest holds.
;;
;; attacks: host
;; limits: cpu = "5s"
;; call: /give
;; expect: 500 output-too-large
;; within: 10s
(component
  (core module $m
    (memory (export "memory") 17)
    (data (i32.const 8) "\00\00\01\00\00\00\10\00")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (type $e (enum "a@repeat(2000){bbbbbbbbbb}"))
  (export $x "e" (type $e))
  (func (export "give") (result (list $x)) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
