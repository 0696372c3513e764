;; An async function whose callback yields for ever: between two of its turns no loop of the guest's is there
;; to be interrupted.
;;
;; attacks: cpu
;; call: /spin
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (core module $m
    (func (export "spin") (result i32) (i32.const 1)) ;; 1 is YIELD
    (func (export "again") (param i32 i32 i32) (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "spin") async
    (canon lift (core func $i "spin") async (callback (core func $i "again")))))
