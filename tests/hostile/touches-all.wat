;; Takes all it may have and writes to every page of it: nothing of that stays with the process.
;;
;; attacks: memory
;; limits: cpu = "5s"
;; crowd: 8
;; call: /touch
;; expect: 200 1024
;; within: 10s
(module
  (memory 1)
  (func (export "touch") (result i32) (local $at i32)
    (drop (memory.grow (i32.const 1023)))
    (loop $again
      (i32.store (local.get $at) (i32.const -1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 67108864))))
    (memory.size)))
