;; Returns a character beyond the last one.
;;
;; attacks: host
;; call: /give
;; expect: 500 trap char
;; within: 5s
(component
  (core module $m (func (export "give") (result i32) (i32.const 0x110000)))
  (core instance $i (instantiate $m))
  (func (export "give") (result char) (canon lift (core func $i "give"))))
