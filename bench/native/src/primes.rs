//! Counts primes by the very algorithm of `tasks/primes.wat`: same segments, same tables, same order.
//!
//! What that file says of the algorithm holds here; only the bounds checks are the compiler's, as
//! far as it cannot prove them away. Iterators, not indices: that is how fast native code is written.

/// The root of the highest number, as an index of odd numbers.
const ROOTS: usize = 23_171;

/// Flags of a segment.
const SEGMENT: usize = 32_768;

/// How many primes are below `n`.
pub fn count(n: u32) -> u32 {
    if n <= 2 {
        return 0;
    }
    let limit = (n >> 1) as usize;
    let mut primes = base(n);
    let mut flags = vec![0_u8; SEGMENT];
    let mut count = 0;
    let mut low = 0;
    while low < limit {
        let length = SEGMENT.min(limit - low);
        flags.fill(0);
        for (prime, next) in &mut primes {
            let (step, at) = (*prime, *next - low);
            let struck = flags.get_mut(at..length).unwrap_or_default();
            let steps = struck.len().div_ceil(step);
            struck.iter_mut().step_by(step).for_each(|flag| *flag = 1);
            *next = at + steps * step + low;
        }
        let (eights, _) = flags.as_chunks::<8>();
        count += length as u32;
        count -= eights.iter().map(|eight| u64::from_le_bytes(*eight).count_ones()).sum::<u32>();
        low += SEGMENT;
    }
    count
}

/// All odd primes whose square is below `n`, each with the index of its square.
fn base(n: u32) -> Vec<(usize, usize)> {
    let mut composite = vec![false; ROOTS];
    let mut primes = Vec::new();
    let mut prime = 3_usize;
    while prime * prime < n as usize {
        if composite.get(prime / 2) == Some(&false) {
            let square = prime * prime / 2;
            primes.push((prime, square));
            composite.iter_mut().skip(square).step_by(prime).for_each(|flag| *flag = true);
        }
        prime += 2;
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_the_known_ones() {
        assert_eq!([2, 3, 4, 100, 10_000_000].map(count), [0, 1, 2, 25, 664_579]);
    }
}
