;; Returns a case that its enum does not have.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap discriminant
;; within: 5s
(component
  (core module $m (func (export "give") (result i32) (i32.const 7)))
  (core instance $i (instantiate $m))
  (type $e (enum "a" "b")) (export $x "e" (type $e)) (func (export "give") (result $x) (canon lift (core func $i "give"))))
