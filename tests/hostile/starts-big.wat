;; A memory that starts with 4 GiB.
;;
;; attacks: memory
;; load: starts with 4GiB
(module
  (memory 65536)
  (func (export "f")))
