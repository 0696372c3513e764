;; Yields to the host for ever, as WASI 0.3 has it.
;;
;; attacks: cpu
;; call: /yield
;; expect: 504 cpu-exceeded
;; within: 10s
(component
  (core func $yield (canon thread.yield))
  (core module $m
    (import "host" "yield" (func $yield (result i32)))
    (func (export "yield") (loop $again (drop (call $yield)) (br $again))))
  (core instance $i (instantiate $m (with "host" (instance (export "yield" (func $yield))))))
  (func (export "yield") async (canon lift (core func $i "yield"))))
