;; Makes resources of its own for ever and drops none: each takes a row of a table of the host's.
;;
;; attacks: host
;; call: /hoard
;; expect: 500 trap
;; within: 5s
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (func (export "hoard") (loop $again (drop (call $new (i32.const 7))) (br $again))))
  (core instance $i (instantiate $m (with "r" (instance (export "new" (func $new))))))
  (func (export "hoard") (canon lift (core func $i "hoard"))))
