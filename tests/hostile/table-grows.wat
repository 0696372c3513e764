;; Grows a table by a thousand elements at a time, and crashes when it is refused.
;;
;; attacks: memory
;; limits: memory = "512KiB"
;; call: /grow
;; expect: 500 memory-exceeded
;; within: 10s
(module
  (table $t 0 externref)
  (func (export "grow")
    (loop $again
      (br_if $again (i32.ge_s (table.grow $t (ref.null extern) (i32.const 1000)) (i32.const 0))))
    unreachable))
