;; Returns text of 4 GiB from a memory of 64 KiB.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\40\00\00\00\ff\ff\ff\ff")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result string) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
