;; Returns a case that its variant does not have.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap discriminant
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\09\00\00\00\01\00\00\00")
    (func (export "give") (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (type $v (variant (case "a" u32) (case "b"))) (export $x "v" (type $v))
  (func (export "give") (result $x) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
