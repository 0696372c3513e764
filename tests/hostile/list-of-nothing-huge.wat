;; Returns a list whose length times its element size wraps around to 0.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\40\00\00\00\00\00\00\20")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  
  (func (export "give") (result (list u64)) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
