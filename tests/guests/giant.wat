;; Returns as much as it is asked for: 16 MiB of the letter a, as text or as numbers.
(module
  (memory (export "memory") 257)
  (func $give (param $length i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 97) (i32.const 16777216))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (local.get $length))
    (i32.const 8))
  (func (export "text") (param i32) (result i32) (call $give (local.get 0)))
  (func (export "numbers") (param i32) (result i32) (call $give (local.get 0)))
  ;; Sums nothing: only its argument's way in matters.
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "count") (param i32 i32) (result i32) (local.get 1)))
