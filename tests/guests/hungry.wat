;; Guests that want all memory, all stack, or all of a host's patience.
(module
  (memory $a 1)
  (memory $b 1)
  (table $t 0 funcref)

  ;; Grows until it is refused, and then crashes, as most allocators do.
  (func $hoard (export "bomb")
    (loop $again
      (br_if $again (i32.ge_s (memory.grow $a (i32.const 16)) (i32.const 0))))
    unreachable)

  ;; Takes a no for an answer: grows both memories page by page until both are refused, and tells
  ;; how many pages it holds.
  (func (export "both") (result i32)
    (loop $again
      (br_if $again (i32.or
        (i32.ge_s (memory.grow $a (i32.const 1)) (i32.const 0))
        (i32.ge_s (memory.grow $b (i32.const 1)) (i32.const 0)))))
    (i32.add (memory.size $a) (memory.size $b)))

  ;; Grows a table in steps of 1024 elements until it is refused, then a memory; tells the table's
  ;; size, and whether the memory could still grow.
  (func (export "table") (result i32 i32)
    (loop $again
      (br_if $again (i32.ge_s (table.grow $t (ref.null func) (i32.const 1024)) (i32.const 0))))
    (table.size $t)
    (memory.grow $a (i32.const 1)))

  ;; A crash that has nothing to do with memory.
  (func $inner unreachable)
  (func $outer (call $inner))
  (func $crash (export "crash") (call $outer))

  ;; Recurs until there is no stack left.
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))

  ;; One address too far.
  (func (export "beyond") (result i32) (i32.load $a (i32.const 2147483647)))

  (func (export "fine") (result i32) (i32.const 7)))
