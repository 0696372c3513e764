;; A data segment that does not fit into its memory: found when it is instantiated.
;;
;; attacks: memory
;; call: /f
;; expect: 500 trap out of bounds
;; within: 2s
(module
  (memory 1)
  (data (i32.const 65530) "0123456789")
  (func (export "f")))
