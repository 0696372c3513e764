;; Fills and copies a whole table over and over: bulk operations on references.
;;
;; attacks: cpu
;; call: /fill
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (table $t 100000 funcref)
  (func $f)
  (elem declare func $f)
  (func (export "fill")
    (loop $again
      (table.fill $t (i32.const 0) (ref.func $f) (i32.const 100000))
      (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 99999))
      (br $again))))
