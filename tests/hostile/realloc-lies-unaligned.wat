;; An allocator that gives an odd address for numbers of eight bytes.
;;
;; attacks: host
;; call: /take {"xs": [1, 2, 3]}
;; expect: 500 trap aligned
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 13))
    (func (export "take") (param i32 i32) (result i32) (local.get 1)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "xs" (list u64)) (result u32)
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
