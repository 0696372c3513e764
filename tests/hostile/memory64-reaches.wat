;; A 64-bit memory read where no memory is, at addresses that wrap around.
;;
;; attacks: memory
;; call: /read?0=-8
;; expect: 500 trap out of bounds
;; call: /read?0=4294967296
;; expect: 500 trap out of bounds
;; call: /read?0=9223372036854775807
;; expect: 500 trap out of bounds
;; within: 2s
(module
  (memory i64 1)
  (func (export "read") (param i64) (result i64) (i64.load offset=16 (local.get 0))))
