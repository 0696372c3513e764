;; Returns an option that is neither some nor none.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap discriminant
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\02\00\00\00\01\00\00\00")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result (option u32)) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
