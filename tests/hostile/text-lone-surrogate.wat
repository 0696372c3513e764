;; Returns UTF-16 with half of a surrogate pair.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\40\00\00\00\02\00\00\00") (data (i32.const 64) "\00\d8\41\00")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result string) (canon lift (core func $i "give") (memory (core memory $i "memory")) string-encoding=utf16)))
