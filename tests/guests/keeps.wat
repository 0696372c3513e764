;; Guests that hold memory, so that others find less.
(module
  (memory (export "memory") 16)

  (func $touch (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536))))

  ;; Holds what it starts with until it is stopped.
  (func $hold (export "hold") (loop $again (br $again)))

  ;; Takes so many pages more and writes to all of them; crashes if it is refused.
  (func $take (export "take") (param $pages i32)
    (if (i32.lt_s (memory.grow (local.get $pages)) (i32.const 0)) (then unreachable))
    (call $touch))

  ;; The same, and holds them until it is stopped.
  (func (export "keep") (param $pages i32) (call $take (local.get $pages)) (call $hold))

  ;; Asks for so many pages more and tells what it was told.
  (func (export "ask") (param $pages i32) (result i32) (memory.grow (local.get $pages)))

  (func (export "fine") (result i32) (i32.const 7)))
