;; Returns a signalling NaN with a payload: it is a NaN and nothing of it crosses.
;;
;; attacks: host
;; call: /give
;; expect: 200 "NaN"
;; within: 5s
(component
  (core module $m (func (export "give") (result f64) (f64.const -nan:0x4000deadbeef1)))
  (core instance $i (instantiate $m))
  (func (export "give") (result f64) (canon lift (core func $i "give"))))
