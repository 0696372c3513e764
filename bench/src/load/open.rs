//! A fixed rate on one connection: requests have appointed times, and latency counts from those.
//!
//! Of our own, because general tools wait on timers that are coarser than what is measured here
//! (tokio's: 1 ms). A request that cannot be sent at its time, since the one before it has no
//! answer yet, is late, and its lateness is part of its latency: nothing is omitted. One thread, a
//! blocking socket; it sleeps until shortly before a request's time and spins the rest.

use super::connection::{Connection, get};
use anyhow::bail;
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// How long before its time a request's wait turns from sleeping to spinning: what waking up takes.
const SPIN: Duration = Duration::from_micros(100);

/// How long after a turn's end its last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest latency that is told apart, in ns.
const LONGEST_NS: u64 = 60_000_000_000;

/// What to send, and what to expect.
pub struct Plan {
    /// Whom to ask.
    pub address: SocketAddr,
    /// What for.
    pub target: String,
    /// How every right answer starts.
    pub expected: &'static str,
    /// Requests a second.
    pub rate: u32,
    /// For how long.
    pub time: Duration,
    /// Time until the first request.
    pub offset: Duration,
}

/// What was seen.
pub struct Seen {
    latency: Histogram<u64>,
    first_byte: Histogram<u64>,
    /// Requests without an answer; they count with the time that had passed since their time.
    pub unanswered: u64,
}

impl Seen {
    /// Latency at a quantile, in µs.
    pub fn at(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Time until the first byte of the answer at a quantile, in µs.
    pub fn first_byte_at(&self, quantile: f64) -> f64 {
        self.first_byte.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Carries a plan out on this thread.
pub fn drive(plan: &Plan) -> anyhow::Result<Seen> {
    // The kernel may otherwise add 50 µs to each sleep. Where it refuses, spinning begins later.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut connection = Connection::open(plan.address)?;
    let request = get(&plan.target);
    let histogram = || Histogram::new_with_max(LONGEST_NS, 3);
    let mut seen = Seen { latency: histogram()?, first_byte: histogram()?, unanswered: 0 };
    let count = (plan.time.as_secs_f64() * f64::from(plan.rate)) as u32;
    let period = Duration::from_secs(1) / plan.rate;
    let start = Instant::now() + plan.offset;
    let end = start + plan.time + PATIENCE;
    for index in 0..count {
        let due = start + period * index;
        wait_until(due);
        connection.send(&request)?;
        let Some(answer) = connection.receive(end)? else {
            // Nor have those whose time came meanwhile, and which were held up.
            for missing in (index..count).map(|index| start + period * index) {
                record(&mut seen.latency, missing.elapsed())?;
                seen.unanswered += 1;
            }
            break;
        };
        record(&mut seen.latency, due.elapsed())?;
        record(&mut seen.first_byte, connection.first_byte.saturating_duration_since(due))?;
        if answer.status != 200 || !answer.body.starts_with(plan.expected.as_bytes()) {
            bail!("{} to {}: {:?}", answer.status, plan.target, String::from_utf8_lossy(&answer.body));
        }
    }
    Ok(seen)
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) -> anyhow::Result<()> {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS).clamp(1, LONGEST_NS);
    Ok(histogram.record(nanos)?)
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > SPIN {
        std::thread::sleep(left - SPIN);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
