;; An allocator that gives the same address for everything, so that the host's copies overwrite one another:
;; the guest harms itself alone.
;;
;; attacks: host
;; call: /take {"xs": ["aaaa", "bbbb", "cccc"]}
;; expect: 500 trap
;; within: 5s
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "take") (param i32 i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "xs" (list string)) (result string)
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
