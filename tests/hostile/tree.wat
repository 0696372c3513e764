;; Recurs twice in each call, sixty deep: hardly any stack, no loop, and no end.
;;
;; attacks: cpu
;; call: /tree?0=60
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (func $tree (export "tree") (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add
        (call $tree (i32.sub (local.get $n) (i32.const 1)))
        (call $tree (i32.sub (local.get $n) (i32.const 1)))))
      (else (i32.const 1)))))
