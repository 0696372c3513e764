;; Returns flags that its type does not have: they are dropped.
;;
;; attacks: host
;; call: /give
;; expect: 200 ["a","b"]
;; within: 5s
(component
  (core module $m (func (export "give") (result i32) (i32.const -1)))
  (core instance $i (instantiate $m))
  (type $e (flags "a" "b")) (export $x "e" (type $e)) (func (export "give") (result $x) (canon lift (core func $i "give"))))
