;; Makes streams for ever and keeps both ends of each.
;;
;; attacks: host
;; call: /hoard
;; expect: 500 trap
;; within: 10s
(component
  (type $bytes (stream u8))
  (core func $new (canon stream.new $bytes))
  (core module $m
    (import "host" "new" (func $new (result i64)))
    (func (export "hoard") (loop $again (drop (call $new)) (br $again))))
  (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
  (func (export "hoard") (canon lift (core func $i "hoard"))))
