;; Sample task: counts prime numbers by a segmented sieve of Eratosthenes.
;;
;; Only odd numbers are kept: index i stands for the number 2i + 1. Index 0 would be 1, which is
;; no prime, but is counted in the place of 2, which is one.
;;
;; Memory: 0      a flag for each odd number up to 46341, the root of the highest i32; 1 = composite
;;         23552  the base primes p, 8 bytes each: p, then the index of its next multiple to strike
;;         65536  the segment in work: 32 Ki flags, which fit in a processor's nearest cache
(module
  (memory (export "memory") 2 2)

  (func (export "count") (param $n i32) (result i32)
    (local $limit i32)  ;; odd numbers below n
    (local $end i32)    ;; where the list of base primes ends
    (local $i i32)
    (local $p i32)
    (local $at i32)
    (local $low i32)    ;; first index of the segment
    (local $length i32)
    (local $count i32)

    (if (i32.le_s (local.get $n) (i32.const 2))
      (then (return (i32.const 0))))
    (local.set $limit (i32.shr_u (local.get $n) (i32.const 1)))

    ;; The base primes: all odd p with p * p < n.
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 23171))
    (local.set $end (i32.const 23552))
    (local.set $i (i32.const 1))
    (local.set $p (i32.const 3))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (i32.mul (local.get $p) (local.get $p)) (local.get $n)))
        (if (i32.eqz (i32.load8_u (local.get $i)))
          (then
            (local.set $at (i32.shr_u (i32.mul (local.get $p) (local.get $p)) (i32.const 1)))
            (i32.store (local.get $end) (local.get $p))
            (i32.store offset=4 (local.get $end) (local.get $at))
            (local.set $end (i32.add (local.get $end) (i32.const 8)))
            (block $struck
              (loop $strike
                (br_if $struck (i32.ge_u (local.get $at) (i32.const 23171)))
                (i32.store8 (local.get $at) (i32.const 1))
                (local.set $at (i32.add (local.get $at) (local.get $p)))
                (br $strike)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (local.set $p (i32.add (local.get $p) (i32.const 2)))
        (br $next)))

    ;; Segment by segment: strike the multiples of every base prime, count what is left.
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $low) (local.get $limit)))
        (local.set $length (i32.sub (local.get $limit) (local.get $low)))
        (if (i32.gt_u (local.get $length) (i32.const 32768))
          (then (local.set $length (i32.const 32768))))
        (memory.fill (i32.const 65536) (i32.const 0) (i32.const 32768))

        (local.set $i (i32.const 23552))
        (block $struck
          (loop $prime
            (br_if $struck (i32.ge_u (local.get $i) (local.get $end)))
            (local.set $p (i32.load (local.get $i)))
            (local.set $at (i32.sub (i32.load offset=4 (local.get $i)) (local.get $low)))
            (block $past
              (loop $strike
                (br_if $past (i32.ge_u (local.get $at) (local.get $length)))
                (i32.store8 offset=65536 (local.get $at) (i32.const 1))
                (local.set $at (i32.add (local.get $at) (local.get $p)))
                (br $strike)))
            (i32.store offset=4 (local.get $i) (i32.add (local.get $at) (local.get $low)))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br $prime)))

        ;; Flags are 0 or 1, so that the bits of eight of them at a time are their number.
        (local.set $count (i32.add (local.get $count) (local.get $length)))
        (local.set $at (i32.const 0))
        (loop $sum
          (local.set $count
            (i32.sub (local.get $count)
              (i32.wrap_i64 (i64.popcnt (i64.load offset=65536 (local.get $at))))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $sum (i32.lt_u (local.get $at) (i32.const 32768))))

        (local.set $low (i32.add (local.get $low) (i32.const 32768)))
        (br $next)))
    (local.get $count)))
