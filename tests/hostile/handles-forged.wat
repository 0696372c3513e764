;; Uses handles that it made up: of a resource that was dropped, and of numbers that never were one.
;;
;; attacks: host
;; call: /twice
;; expect: 500 trap handle
;; call: /forged
;; expect: 500 trap handle
;; within: 5s
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core func $drop (canon resource.drop $r))
  (core func $rep (canon resource.rep $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (import "r" "drop" (func $drop (param i32)))
    (import "r" "rep" (func $rep (param i32) (result i32)))
    (func (export "twice") (local $r i32)
      (local.set $r (call $new (i32.const 7)))
      (call $drop (local.get $r))
      (call $drop (local.get $r)))
    (func (export "forged") (drop (call $rep (i32.const 12345)))))
  (core instance $i (instantiate $m (with "r" (instance
    (export "new" (func $new)) (export "drop" (func $drop)) (export "rep" (func $rep))))))
  (func (export "twice") (canon lift (core func $i "twice")))
  (func (export "forged") (canon lift (core func $i "forged"))))
