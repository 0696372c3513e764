//! Durations counted in buckets whose bounds grow by a constant factor.
//!
//! The bounds are those of a native histogram of schema 1 (Prometheus: each the square root of two times
//! the one before), from 10 µs to 84 s: fine enough for percentiles on a page, and every second one is a
//! bound of the coarser histogram that `/metrics` shows. Plain numbers: whoever shares it locks it.

use std::time::Duration;

/// Nanoseconds of the first bucket's upper bound.
const FIRST_NS: u64 = 10_000;

/// Buckets with an upper bound.
pub const BOUNDED: usize = 47;

/// All buckets; the last one holds what is over every bound.
pub const BUCKETS: usize = BOUNDED + 1;

/// The fraction of a power of two at which the upper half of its pair of buckets begins: √2, in 1/65,536.
const ROOT_OF_TWO: u64 = 92_682;

/// See the file's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum_ns: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns = self.sum_ns.saturating_add(ns);
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
        }
    }

    /// Counts in each bucket.
    #[must_use]
    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// What was counted since `earlier`, which was a copy of this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        for (count, before) in difference.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        difference.sum_ns = self.sum_ns.saturating_sub(earlier.sum_ns);
        difference
    }

    /// The duration that so many of the counted ones (0..=1) did not exceed, by the bounds of its bucket:
    /// at most 19 % off. `None` if none was counted.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (part.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, of_bucket) in self.counts.iter().enumerate() {
            seen += of_bucket;
            if seen >= rank {
                // The middle of the bucket, by the factor that its bounds grow.
                return Some(bound(index.min(BOUNDED - 1)).div_f64(2f64.powf(0.25)));
            }
        }
        None
    }
}

/// The upper bound of a bucket.
#[must_use]
pub fn bound(index: usize) -> Duration {
    let octave = i32::try_from(index / 2).unwrap_or(i32::MAX);
    let half = if index.is_multiple_of(2) { 1.0 } else { std::f64::consts::SQRT_2 };
    Duration::from_nanos(FIRST_NS).mul_f64(2f64.powi(octave.min(64)) * half)
}

/// The bucket of a duration: its bounds are `10 µs · 2^(i/2)`, and belong to the bucket below.
fn bucket(ns: u64) -> usize {
    if ns <= FIRST_NS {
        return 0;
    }
    // In units of the first bound, with 16 binary places.
    let ratio = u128::from(ns) * 65_536 / u128::from(FIRST_NS);
    let octave = (127 - ratio.leading_zeros()).saturating_sub(16);
    let fraction = u64::try_from(ratio >> octave).unwrap_or(u64::MAX);
    let index = 2 * octave as usize + 1 + usize::from(fraction > ROOT_OF_TWO);
    // A power of two is the bound of the bucket below.
    let exact = fraction == 65_536 && u128::from(FIRST_NS) << octave == u128::from(ns);
    (index - usize::from(exact)).min(BOUNDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_its_bucket() {
        let mut ns = 1;
        while ns < 200_000_000_000 {
            for ns in [ns, ns + 1, ns * 3 / 2] {
                let index = bucket(ns);
                let duration = Duration::from_nanos(ns);
                if index < BOUNDED {
                    let most = bound(index) + Duration::from_nanos(bound(index).as_nanos() as u64 / 10_000);
                    assert!(duration <= most, "{ns} ns in bucket {index}");
                }
                if index > 0 {
                    assert!(duration.mul_f64(1.000_1) >= bound(index - 1), "{ns} ns in bucket {index}");
                }
            }
            ns *= 2;
        }
        assert_eq!((bucket(10_000), bucket(20_000), bucket(40_000), bucket(u64::MAX)), (0, 2, 4, BOUNDED));
        assert!(bound(BOUNDED - 1) > Duration::from_secs(60));
    }

    #[test]
    fn quantiles_are_near() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (part, ms) in [(0.5, 500.0), (0.99, 990.0), (0.0, 1.0), (1.0, 1000.0)] {
            let found = histogram.quantile(part).unwrap_or_default().as_secs_f64() * 1000.0;
            assert!((found / ms - 1.0).abs() < 0.2, "{part}: {found} ms, expected about {ms} ms");
        }
        let earlier = histogram.clone();
        histogram.record(Duration::from_secs(3));
        let since = histogram.since(&earlier);
        assert_eq!((since.count(), since.sum()), (1, Duration::from_secs(3)));
        let mut sum = earlier.clone();
        sum.add(&since);
        assert_eq!(sum, histogram);
    }
}
