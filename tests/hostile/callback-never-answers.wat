;; An async function that ends without its answer.
;;
;; attacks: host
;; call: /answer
;; expect: 500 trap
;; within: 5s
(component
  (core module $m
    (func (export "answer") (result i32) (i32.const 0))
    (func (export "again") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (export "answer") async (result u32)
    (canon lift (core func $i "answer") async (callback (core func $i "again")))))
