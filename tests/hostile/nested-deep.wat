;; A function whose result is nested a hundred levels deep.
;;
;; attacks: host
;; load: without anything to call
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "give") (result @repeat(90){(list }u8@repeat(90){)}) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
