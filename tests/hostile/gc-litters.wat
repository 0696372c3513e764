;; Makes objects for ever and drops each: the collector runs without end.
;;
;; attacks: cpu
;; call: /litter
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (type $pair (struct (field i64) (field i64)))
  (func (export "litter")
    (loop $again
      (drop (struct.new $pair (i64.const 1) (i64.const 2)))
      (br $again))))
