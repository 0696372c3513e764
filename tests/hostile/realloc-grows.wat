;; An allocator that grows the memory while the host writes into it, so that the memory's end moves.
;;
;; attacks: host
;; call: /take {"xs": ["aaaa", "bbbb", "cccc"]}
;; expect: 200 3
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.mul (memory.size) (i32.const 65536)))
      (drop (memory.grow (i32.const 1)))
      (local.get $at))
    (func (export "take") (param i32 i32) (result i32) (local.get 1)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "xs" (list string)) (result u32)
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
