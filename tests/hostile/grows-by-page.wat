;; Grows page by page, touches each, and crashes when it is refused.
;;
;; attacks: memory
;; limits: cpu = "5s"
;; call: /grow
;; expect: 500 memory-exceeded
;; within: 10s
(module
  (memory 1)
  (func (export "grow")
    (loop $again
      (if (i32.lt_s (memory.grow (i32.const 1)) (i32.const 0)) (then unreachable))
      (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)) (i32.const 1))
      (br $again))))
