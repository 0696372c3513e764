;; Asks for more than it may have, again and again, and takes every no for an answer.
;;
;; attacks: memory
;; call: /grow
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (memory 1)
  (func (export "grow")
    (loop $again
      (drop (memory.grow (i32.const 65535)))
      (br $again))))
