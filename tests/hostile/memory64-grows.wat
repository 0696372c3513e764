;; A 64-bit memory that asks for 16 TiB, then for all that 64 bits can say, then for what it gets.
;;
;; attacks: memory
;; call: /grow
;; expect: 500 memory-exceeded
;; within: 10s
(module
  (memory i64 1)
  (func (export "grow")
    (if (i64.ge_s (memory.grow (i64.const 0x10000000)) (i64.const 0)) (then (return)))
    (if (i64.ge_s (memory.grow (i64.const -1)) (i64.const 0)) (then (return)))
    (loop $again (br_if $again (i64.ge_s (memory.grow (i64.const 16)) (i64.const 0))))
    unreachable))
