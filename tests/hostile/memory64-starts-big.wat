;; A 64-bit memory that starts with 2 TiB.
;;
;; attacks: memory
;; load: does not fit
(module
  (memory i64 0x2000000)
  (func (export "f")))
