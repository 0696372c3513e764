;; Fills the largest memory of the defaults, 128 MiB, over and over.
;;
;; attacks: cpu
;; limits: memory = "128MiB"
;; call: /fill
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (memory 2048)
  (func (export "fill")
    (loop $again
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 134217728))
      (br $again))))
