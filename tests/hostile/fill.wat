;; Fills 64 MiB over and over: each turn is one instruction that asks nobody.
;;
;; attacks: cpu
;; limits: memory = "64MiB"
;; call: /fill
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (memory 1024)
  (func $fill (export "fill")
    (loop $again
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 67108864))
      (br $again))))
