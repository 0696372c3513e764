;; Returns its result at an odd address.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap aligned
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    
    (func (export "give") (result i32) (i32.const 9)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result string) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
