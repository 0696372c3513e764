;; Returns an overlong zero and an encoded surrogate as text: no UTF-8 either.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap utf-8
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\40\00\00\00\05\00\00\00") (data (i32.const 64) "\c0\80\ed\a0\80")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result string) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
