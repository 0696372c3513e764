;; An async function that returns a code that means nothing.
;;
;; attacks: host
;; call: /answer
;; expect: 500 trap callback
;; within: 5s
(component
  (core module $m
    (func (export "answer") (result i32) (i32.const 15))
    (func (export "again") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (export "answer") async
    (canon lift (core func $i "answer") async (callback (core func $i "again")))))
