;; Throws and catches for ever: each turn makes an exception and unwinds the stack.
;;
;; attacks: cpu
;; call: /throw
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (tag $t (param i32))
  (func $throw (throw $t (i32.const 1)))
  (func (export "throw")
    (loop $again
      (drop (block $caught (result i32)
        (try_table (catch $t $caught) (call $throw))
        (i32.const 0)))
      (br $again))))
