;; Grows a table past what a slot has room for, although its memory limit would allow it.
;;
;; attacks: memory
;; call: /grow
;; expect: 200 100000
;; within: 10s
(module
  (table $t 0 funcref)
  (func (export "grow") (result i32)
    (loop $again
      (br_if $again (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0))))
    (table.size $t)))
