;; Returns bits beyond the eight of its type: they are cut off.
;;
;; attacks: host
;; call: /give
;; expect: 200 255
;; within: 5s
(component
  (core module $m (func (export "give") (result i32) (i32.const -1)))
  (core instance $i (instantiate $m))
  (func (export "give") (result u8) (canon lift (core func $i "give"))))
