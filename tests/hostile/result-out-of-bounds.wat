;; Returns its result beyond its memory.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    
    (func (export "give") (result i32) (i32.const 0x7ffffff8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result string) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
