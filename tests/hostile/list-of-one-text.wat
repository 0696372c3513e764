;; Returns a hundred thousand texts of half a megabyte, all of them the same bytes of its memory: 50 GB.
;;
;; attacks: host
;; limits: cpu = "5s"
;; call: /give
;; expect: 500 output-too-large
;; within: 10s
(component
  (core module $m
    (memory (export "memory") 32)
    (func (export "give") (result i32) (local $at i32)
      (memory.fill (i32.const 1048576) (i32.const 97) (i32.const 524288))
      (i32.store (i32.const 8) (i32.const 64))
      (i32.store (i32.const 12) (i32.const 100000))
      (local.set $at (i32.const 64))
      (loop $again
        (i32.store (local.get $at) (i32.const 1048576))
        (i32.store (i32.add (local.get $at) (i32.const 4)) (i32.const 524288))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 800064))))
      (i32.const 8)))
  (core instance $i (instantiate $m))
  (func (export "give") (result (list string)) (canon lift (core func $i "give") (memory (core memory $i "memory")))))
