;; Four memories, each grown in turn until none grows: they are summed.
;;
;; attacks: memory
;; limits: memory = "4MiB"
;; call: /grow
;; expect: 200 64
;; within: 10s
(module
  (memory $a 1) (memory $b 1) (memory $c 1) (memory $d 1)
  (func (export "grow") (result i32)
    (loop $again
      (br_if $again (i32.or
        (i32.or
          (i32.ge_s (memory.grow $a (i32.const 1)) (i32.const 0))
          (i32.ge_s (memory.grow $b (i32.const 1)) (i32.const 0)))
        (i32.or
          (i32.ge_s (memory.grow $c (i32.const 1)) (i32.const 0))
          (i32.ge_s (memory.grow $d (i32.const 1)) (i32.const 0))))))
    (i32.add
      (i32.add (memory.size $a) (memory.size $b))
      (i32.add (memory.size $c) (memory.size $d)))))
