;; An allocator that gives an address beyond the memory.
;;
;; attacks: host
;; call: /take?text=hello
;; expect: 500 trap 
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x7fffffff))
    (func (export "take") (param i32 i32) (result i32) (local.get 1)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "text" string) (result u32)
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
