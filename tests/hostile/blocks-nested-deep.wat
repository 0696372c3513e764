;; A function of fifty thousand blocks inside of one another: for whoever validates or compiles by recursion.
;;
;; attacks: stack
;; call: /deep
;; expect: 200 7
;; within: 5s
(module
  (func (export "deep") (result i32)
    @repeat(50000){block }
    @repeat(50000){end }
    (i32.const 7)))
