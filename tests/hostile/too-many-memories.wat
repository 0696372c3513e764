;; More memories than a run may hold.
;;
;; attacks: memory
;; load: memories
(module
  @repeat(200){(memory 1)}
  (func (export "f")))
