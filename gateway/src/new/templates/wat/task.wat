;; The task `{{name}}`: every exported function can be called over HTTP. Nothing is built: a gateway that serves
;; this folder takes in what you save.
(module
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b))))
