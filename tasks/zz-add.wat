(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
 (func (export "spin") (loop $l br $l))
 (func (export "boom") unreachable)
 (func $r (export "recurse") call $r))
