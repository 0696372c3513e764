//! From the moment a client closes its connection to the moment its run is gone.
//!
//! Client and gateway share this process, so one clock sees both ends, and the end is the pool's
//! own: a run's permit goes back after its instance is dropped. Included are the closing, the
//! kernel, the HTTP thread that notices, the stop, and the look at the pool every 20 µs or so.

use super::gateway;
use crate::load::connection::{Connection, get};
use anyhow::bail;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};
use unblock_pool::{Pool, Stats};

/// Time between two looks at the pool.
const LOOK: Duration = Duration::from_micros(20);

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Loops that others wait behind.
const LOOPS: usize = 1_000;

/// What the run does when its client hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Computes.
    Loop,
    /// Waits in a host call.
    Sleep,
    /// Computes when it gets the chance: it waits in the queue among 1,000 loops.
    Queued,
}

impl Kind {
    /// As it is written on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Sleep => "sleep",
            Self::Queued => "queued",
        }
    }
}

/// Hangs up so many times, prints the times in µs.
pub fn run(folder: &Path, kind: Kind, samples: usize) -> anyhow::Result<()> {
    // Otherwise the kernel adds 50 µs to each look.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let server = gateway::start(folder, &[])?;
    let (pool, address) = (server.pool(), server.address());
    let open = |target: &str| -> anyhow::Result<Connection> {
        let mut connection = Connection::open(address)?;
        connection.send(&get(target))?;
        Ok(connection)
    };
    let mut loops = Vec::new();
    if kind == Kind::Queued {
        for _ in 0..LOOPS {
            loops.push(open("/tasks/loop/run")?);
        }
        until(pool, Duration::from_millis(20), |stats| stats.permits == LOOPS && sunk(stats))?;
    }
    let others = loops.len();
    let mut times = Vec::with_capacity(samples);
    for index in 0..samples as u64 {
        let connection = open(if kind == Kind::Sleep { "/sleep/60" } else { "/tasks/loop/run" })?;
        match kind {
            Kind::Loop => until(pool, LOOK, |stats| stats.running == 1)?,
            Kind::Sleep => until(pool, LOOK, |stats| stats.parked == 1)?,
            // Long enough to have used up its first quanta and to be one of many.
            Kind::Queued => {
                until(pool, Duration::from_millis(5), |stats| stats.permits > others && sunk(stats))?
            }
        }
        // Hang-ups come at any point of a slice and of a tick.
        std::thread::sleep(Duration::from_micros(2_000 + index * 7_919 % 20_000));
        let start = Instant::now();
        drop(connection);
        until(pool, LOOK, |stats| stats.permits == others)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    super::say(&serde_json::json!(times).to_string())
}

/// Every loop that waits does so on the lowest level.
fn sunk(stats: &Stats) -> bool {
    let lowest = stats.queued.last().copied().unwrap_or_default();
    stats.queued.iter().sum::<usize>() == lowest
}

fn until(pool: &Pool, pause: Duration, holds: impl Fn(&Stats) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds(&pool.stats()) {
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} for the pool, which is at {:?}", pool.stats());
        }
        std::thread::sleep(pause);
    }
    Ok(())
}
