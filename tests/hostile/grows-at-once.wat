;; Asks for all 4 GiB at once, and crashes when it is refused.
;;
;; attacks: memory
;; call: /grow
;; expect: 500 memory-exceeded
;; within: 2s
(module
  (memory 1)
  (func (export "grow")
    (if (i32.lt_s (memory.grow (i32.const 65535)) (i32.const 0)) (then unreachable))))
