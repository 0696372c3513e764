;; The allocator that the host calls to hand an argument over never returns.
;;
;; attacks: cpu
;; call: /take?text=hello
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop $again (br $again)) (i32.const 0))
    (func (export "take") (param i32 i32)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "text" string)
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
