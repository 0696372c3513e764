;; Makes a list as long as its memory has room for, drops it whole, and makes the next one: whoever frees a
;; list by recursion overflows the host's stack here.
;;
;; attacks: memory
;; limits: memory = "16MiB"
;; call: /lists?0=100000
;; expect: 504 cpu-exceeded
;; within: 10s
(module
  (type $node (struct (field (ref null $node)) (field i64)))
  (func (export "lists") (param $length i32) (local $list (ref null $node)) (local $n i32)
    (loop $again
      (local.set $list (ref.null $node))
      (local.set $n (local.get $length))
      (loop $longer
        (local.set $list (struct.new $node (local.get $list) (i64.const 1)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $longer (local.get $n)))
      (br $again))))
