;; Counts the variables and directories that a component can see.
;;
;; attacks: escape
;; call: /variables
;; expect: 200 0
;; call: /directories
;; expect: 200 0
;; within: 2s
(component
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:filesystem/types@0.2.0" (instance $types (export "descriptor" (type (sub resource)))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $d))
    (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (core module $libc
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $libc (instantiate $libc))
  (core func $variables (canon lower (func $environment "get-environment")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $directories (canon lower (func $preopens "get-directories")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "variables" (func $variables (param i32)))
    (import "host" "directories" (func $directories (param i32)))
    (func (export "variables") (result i32) (call $variables (i32.const 8)) (i32.load (i32.const 12)))
    (func (export "directories") (result i32) (call $directories (i32.const 8)) (i32.load (i32.const 12))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "variables" (func $variables)) (export "directories" (func $directories))))))
  (func (export "variables") (result u32) (canon lift (core func $i "variables")))
  (func (export "directories") (result u32) (canon lift (core func $i "directories"))))
