//! How long and how often everything is measured: `quick` or full.
//!
//! Numbers only. Both forms ask the same questions of the same contenders with the same loads; the
//! quick one takes fewer and shorter rounds.

use std::time::Duration;

/// The sizes of a run.
pub struct Scale {
    /// Rounds of the throughput and latency rows.
    pub rounds: usize,
    /// One contender's turn at a closed loop.
    pub closed: Duration,
    /// One contender's turn at a fixed rate.
    pub open: Duration,
    /// Rounds of the saturation row, each of which starts its contenders anew.
    pub saturated_rounds: usize,
    /// Those of the native reference, which takes long: nothing can stop its loops.
    pub saturated_native_rounds: usize,
    /// One contender's turn at one number of loops.
    pub saturated: Duration,
    /// Hang-ups per kind.
    pub hangups: usize,
    /// Rounds of the sleeping calls.
    pub parked_rounds: usize,
    /// How long the idle process is watched.
    pub idle: Duration,
    /// Rounds of the rows about whole requests, which have many contenders.
    pub guest_rounds: usize,
    /// Rounds beside the peers.
    pub peer_rounds: usize,
    /// Those of the computing call.
    pub peer_compute_rounds: usize,
    /// Rounds of what may grow.
    pub growth_rounds: usize,
    /// Turns of the guests that compute.
    pub compute_rounds: usize,
    /// Turns of calls without HTTP.
    pub cost_rounds: usize,
    /// How often a file is dropped in.
    pub drop_rounds: usize,
    /// Warm calls of a task in Python or JavaScript.
    pub warm_calls: usize,
    /// Starts with each number of modules.
    pub starts: usize,
    /// Rounds of the overload row.
    pub overload_rounds: usize,
    /// One turn at one multiple of the capacity.
    pub overload: Duration,
}

impl Scale {
    /// Up to 5 minutes, also on a machine that others use; less than 4 on an idle one.
    pub fn quick() -> Self {
        Self {
            rounds: 3,
            closed: Duration::from_secs(1),
            open: Duration::from_secs(1),
            saturated_rounds: 2,
            saturated_native_rounds: 1,
            saturated: Duration::from_millis(1_500),
            hangups: 40,
            parked_rounds: 1,
            idle: Duration::from_secs(4),
            guest_rounds: 2,
            peer_rounds: 2,
            peer_compute_rounds: 1,
            growth_rounds: 2,
            compute_rounds: 5,
            cost_rounds: 7,
            drop_rounds: 1,
            warm_calls: 100,
            starts: 5,
            overload_rounds: 1,
            overload: Duration::from_secs(4),
        }
    }

    /// Up to half an hour.
    pub fn full() -> Self {
        Self {
            rounds: 7,
            closed: Duration::from_secs(4),
            open: Duration::from_secs(4),
            saturated_rounds: 5,
            saturated_native_rounds: 5,
            saturated: Duration::from_secs(4),
            hangups: 200,
            parked_rounds: 3,
            idle: Duration::from_secs(10),
            guest_rounds: 5,
            peer_rounds: 7,
            peer_compute_rounds: 5,
            growth_rounds: 7,
            compute_rounds: 41,
            cost_rounds: 41,
            drop_rounds: 3,
            warm_calls: 1_000,
            starts: 15,
            overload_rounds: 3,
            overload: Duration::from_secs(6),
        }
    }
}
