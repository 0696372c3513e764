;; A component of a hundred core instances: each takes a slot.
;;
;; attacks: memory
;; load: instances
(component
  (core module $m (func (export "f")))
  @repeat(99){(core instance (instantiate $m))}
  (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))
