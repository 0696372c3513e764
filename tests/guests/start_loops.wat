;; A start function that never returns: loading must not run it, each call does.
(module
  (func $set_up (loop $again (br $again)))
  (start $set_up)
  (func (export "answer") (result i32) (i32.const 42)))
