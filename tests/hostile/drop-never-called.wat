;; Leaves a resource behind whose destructor never returns: the end of a run must not call it.
;;
;; attacks: cpu
;; call: /answer
;; expect: 200 42
;; within: 2s
(component
  (core module $d (func (export "drop") (param i32) (loop $again (br $again))))
  (core instance $d (instantiate $d))
  (type $r (resource (rep i32) (dtor (core func $d "drop"))))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (func (export "answer") (result i32) (drop (call $new (i32.const 7))) (i32.const 42)))
  (core instance $i (instantiate $m (with "r" (instance (export "new" (func $new))))))
  (func (export "answer") (result u32) (canon lift (core func $i "answer"))))
