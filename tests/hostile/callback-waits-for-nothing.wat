;; An async function that waits for a set that nothing is in.
;;
;; attacks: wall
;; limits: wall = "500ms"
;; call: /wait
;; expect: 500 trap deadlock
;; within: 10s
(component
  (core func $set (canon waitable-set.new))
  (core module $m
    (import "host" "set" (func $set (result i32)))
    (func (export "wait") (result i32)
      (i32.or (i32.const 2) (i32.shl (call $set) (i32.const 4)))) ;; 2 is WAIT
    (func (export "again") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "host" (instance (export "set" (func $set))))))
  (func (export "wait") async
    (canon lift (core func $i "wait") async (callback (core func $i "again")))))
