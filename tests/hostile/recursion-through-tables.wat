;; Two functions that call each other through a table until there is no stack left.
;;
;; attacks: stack
;; limits: cpu = "5s"
;; call: /ping
;; expect: 500 stack-overflow
;; within: 5s
(module
  (type $f (func (result i32)))
  (table funcref (elem $ping $pong))
  (func $ping (export "ping") (result i32) (i32.add (i32.const 1) (call_indirect (type $f) (i32.const 1))))
  (func $pong (result i32) (i32.add (i32.const 1) (call_indirect (type $f) (i32.const 0)))))
