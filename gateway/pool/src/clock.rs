//! The two clocks: monotonic time since the pool was made, and the calling thread's CPU time.
//!
//! Must not know what is timed.

use std::time::{Duration, Instant};

/// Stands for "no deadline".
pub(crate) const NEVER_NS: u64 = u64::MAX;

/// Nanoseconds of a duration; what doesn't fit (584 years) is "never".
pub(crate) fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(NEVER_NS)
}

/// Monotonic nanoseconds since a fixed moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_ns(self) -> u64 {
        nanos(self.0.elapsed())
    }

    pub(crate) fn ns_at(self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.0))
    }
}

/// Both clocks at one moment, as a worker reads or reckons them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) wall_ns: u64,
    /// CPU time of the worker's thread.
    pub(crate) cpu_ns: u64,
}

/// A slice shorter than this counts by the wall clock: its CPU time cannot be more, and is not much
/// less. Reading the CPU clock was 7 % of a trivial call's cost.
pub(crate) const SHORT_SLICE_NS: u64 = 50_000;

/// CPU time of the calling thread. A system call, 0.1–1 µs.
pub(crate) fn thread_cpu_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    let rest = u64::try_from(t.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
