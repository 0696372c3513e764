;; Returns 2 as a bool: anything but 0 is true.
;;
;; attacks: host
;; call: /give
;; expect: 200 true
;; within: 5s
(component
  (core module $m (func (export "give") (result i32) (i32.const 2)))
  (core instance $i (instantiate $m))
  (func (export "give") (result bool) (canon lift (core func $i "give"))))
