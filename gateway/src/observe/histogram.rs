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

    /// The duration that so many of the counted ones (0..=1) did not exceed: as if those of a bucket were spread
    /// evenly over it, as Prometheus' `histogram_quantile` does. The last bound if it is over that; `None` if
    /// none was counted.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let rank = part.clamp(0.0, 1.0) * self.count() as f64;
        let (mut below, mut seen) = (Duration::ZERO, 0);
        for (index, count) in self.counts.iter().copied().enumerate() {
            let above = bound(index.min(BOUNDED - 1));
            if count > 0 && (seen + count) as f64 >= rank {
                let within = (rank - seen as f64) / count as f64;
                return Some(below + above.saturating_sub(below).mul_f64(within.clamp(0.0, 1.0)));
            }
            (below, seen) = (above, seen + count);
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
        // Up to a bound: the last bucket is as full as the others.
        for ms in 1..=1310 {
            histogram.record(Duration::from_millis(ms));
        }
        for (part, ms) in [(0.01, 13.1), (0.5, 655.0), (0.9, 1179.0), (0.99, 1297.0)] {
            let found = histogram.quantile(part).unwrap_or_default().as_secs_f64() * 1000.0;
            assert!((found / ms - 1.0).abs() < 0.05, "{part}: {found} ms, expected about {ms} ms");
        }
        let earlier = histogram.clone();
        histogram.record(Duration::from_secs(3));
        let since = histogram.since(&earlier);
        assert_eq!((since.count(), since.sum()), (1, Duration::from_secs(3)));
        let mut sum = earlier.clone();
        sum.add(&since);
        assert_eq!(sum, histogram);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket_and_grows_with_its_part() {
        let mut histogram = Histogram::default();
        // The bucket from 10 to 14.1 µs has four, that from 20 to 28.3 µs one.
        for us in [11, 12, 13, 14, 25] {
            histogram.record(Duration::from_micros(us));
        }
        let at = |part| histogram.quantile(part).map_or(0.0, |found| found.as_secs_f64() * 1e6);
        assert!((at(0.4) - (10.0 + 4.142 / 2.0)).abs() < 0.01, "{}", at(0.4));
        assert!((at(0.8) - 14.142).abs() < 0.01, "{}", at(0.8));
        assert!((at(0.9) - (20.0 + 8.284 / 2.0)).abs() < 0.01, "{}", at(0.9));
        assert!((at(0.0) - 10.0).abs() < 0.01 && (at(1.0) - 28.284).abs() < 0.01);
        let over = Duration::from_secs(1000);
        histogram.record(over);
        assert_eq!(histogram.quantile(1.0), Some(bound(BOUNDED - 1)), "no more is known of it");
    }
}
