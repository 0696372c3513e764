;; Makes waitable sets for ever and drops none.
;;
;; attacks: host
;; call: /hoard
;; expect: 500 trap
;; within: 10s
(component
  (core func $new (canon waitable-set.new))
  (core module $m
    (import "host" "new" (func $new (result i32)))
    (func (export "hoard") (loop $again (drop (call $new)) (br $again))))
  (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
  (func (export "hoard") (canon lift (core func $i "hoard"))))
