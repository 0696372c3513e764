;; Calls a cheap host function for ever: nearly all of its time is spent outside of WebAssembly.
(module
  (import "test" "cheap" (func $cheap (param i32) (result i32)))
  (func $storm (export "storm") (local $n i32)
    (loop $again
      (local.set $n (call $cheap (local.get $n)))
      (br $again)))
  (func (export "short") (result i32) (call $cheap (i32.const 6))))
