;; Moves 32 MiB by one byte over and over: overlapping, so that no short cut helps.
;;
;; attacks: cpu
;; call: /copy
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (memory 1024)
  (func (export "copy")
    (loop $again
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 67108863))
      (br $again))))
