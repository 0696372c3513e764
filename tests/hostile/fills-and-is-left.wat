;; Fills its memory for ever, and its callers hang up.
;;
;; attacks: cpu
;; limits: wall = "1m", cpu = "1m"
;; crowd: 8
;; call: /fill
;; expect: hang-up
;; within: 10s
(module
  (memory 1024)
  (func (export "fill")
    (loop $again
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 67108864))
      (br $again))))
