//! A sample as JSON: the document of `GET /state`, and the same without its past for a tick.
//!
//! Serialized from borrowed rows, since a gateway may have a thousand tasks and a tick comes twice a
//! second. What is in it is described in `openapi/own.rs`; a test holds both together. It must not know
//! who reads it.

use super::calls::{live, ms};
use super::tasks::failure;
use crate::observe::live::Call;
use crate::observe::window::{INTERVAL, Latency, Point, Seen};
use crate::observe::{Window, histogram, resident_bytes};
use crate::registry::Snapshot;
use crate::runtime::Memory;
use crate::task::TaskName;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use unblock_pool::Glance;

/// Modules that cannot be served of which a tick tells; `GET /tasks` has all.
const FAILURES_MAX: usize = 100;

/// What is not in the window.
pub struct Moment<'a> {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Since the gateway's start.
    pub uptime: Duration,
    /// Whether it takes no new calls.
    pub draining: bool,
    /// Runs in flight at once, at most.
    pub runs_max: usize,
    /// Worker threads.
    pub workers: usize,
    /// The memory of all calls.
    pub memory: &'a Memory,
    /// What is served.
    pub snapshot: &'a Snapshot,
}

#[derive(Serialize)]
struct Document<'a> {
    at_ms: u64,
    uptime_s: f64,
    version: &'static str,
    interval_ms: u64,
    draining: bool,
    rates: Rates,
    latency_ms: Option<Percentiles>,
    heat: Vec<(usize, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heat_bounds_ms: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Past>>,
    pool: Pool<'a>,
    memory: Held,
    workers: Vec<Option<Working<'a>>>,
    in_flight: usize,
    calls: Vec<Value>,
    tasks: Vec<Task<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_gone: Option<Vec<&'a str>>,
    loading: &'a [String],
    failures: Vec<Value>,
}

#[derive(Serialize)]
struct Rates {
    calls: f64,
    errors: f64,
    cancelled: f64,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
}

#[derive(Serialize)]
struct Past {
    at_ms: u64,
    calls: f64,
    errors: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    heat: Vec<(usize, u64)>,
}

#[derive(Serialize)]
struct Pool<'a> {
    workers: usize,
    running: usize,
    queued: &'a [usize],
    urgent: usize,
    parked: usize,
    idle_workers: usize,
    permits: usize,
    runs_max: usize,
    waiting: usize,
    slices_per_s: f64,
    preemptions_per_s: f64,
    demotions_per_s: f64,
}

#[derive(Serialize)]
struct Held {
    held_bytes: u64,
    budget_bytes: u64,
    resident_bytes: u64,
}

#[derive(Serialize)]
struct Working<'a> {
    id: &'a str,
    task: &'a str,
    function: &'a str,
    level: usize,
    cpu_ms: f64,
    elapsed_ms: f64,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    kind: &'static str,
    calls: u64,
    errors: u64,
    cancelled: u64,
    running: u64,
    rate: f64,
    error_rate: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    cpu_share: f64,
    cpu_part: Option<f64>,
    memory_bytes_max: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a VecDeque<u32>>,
}

/// The last sample: all of it, or, as a tick, what changed in it.
pub fn write(window: &Window, moment: &Moment<'_>, tick: bool) -> Vec<u8> {
    let whole = !tick;
    let point = window.points().back().cloned().unwrap_or_default();
    let (pool, snapshot) = (window.pool(), moment.snapshot);
    let sight = window.sight();
    let document = Document {
        at_ms: moment.at_ms,
        uptime_s: rounded(moment.uptime.as_secs_f64()),
        version: env!("CARGO_PKG_VERSION"),
        interval_ms: u64::try_from(INTERVAL.as_millis()).unwrap_or_default(),
        draining: moment.draining,
        rates: Rates {
            calls: rounded(point.rates.calls),
            errors: rounded(point.rates.errors),
            cancelled: rounded(point.rates.cancelled),
        },
        latency_ms: point.latency.map(percentiles),
        heat: point.heat().collect(),
        heat_bounds_ms: whole
            .then(|| (0..histogram::BOUNDED).map(|index| ms(histogram::bound(index))).collect()),
        history: whole.then(|| window.points().iter().map(past).collect()),
        pool: Pool {
            workers: moment.workers,
            running: pool.running,
            queued: &pool.queued,
            urgent: pool.urgent,
            parked: pool.parked,
            idle_workers: pool.idle_workers,
            permits: pool.permits,
            runs_max: moment.runs_max,
            waiting: pool.admission_waiting,
            slices_per_s: rounded(point.rates.slices),
            preemptions_per_s: rounded(point.rates.preemptions),
            demotions_per_s: rounded(point.rates.demotions),
        },
        memory: Held {
            held_bytes: moment.memory.held_bytes(),
            budget_bytes: moment.memory.bytes_max(),
            resident_bytes: resident_bytes().unwrap_or_default(),
        },
        workers: sight.map_or_else(
            || (0..moment.workers).map(|_| None).collect(),
            |sight| sight.workers.iter().map(|at| at.as_ref().map(working)).collect(),
        ),
        in_flight: sight.map_or(0, |sight| sight.in_flight),
        calls: sight.map_or_else(Vec::new, |sight| sight.oldest.iter().map(live).collect()),
        tasks: window
            .tasks()
            .iter()
            .filter(|(_, seen)| whole || seen.changed)
            .map(|(name, seen)| task(name, seen, whole))
            .collect(),
        tasks_gone: tick.then(|| window.gone().iter().map(TaskName::as_str).collect()),
        loading: &snapshot.loading,
        failures: snapshot.failures.iter().take(FAILURES_MAX).map(failure).collect(),
    };
    // Text keys and numbers only: it can always be written.
    serde_json::to_vec(&document).unwrap_or_default()
}

fn past(point: &Point) -> Past {
    let latency = point.latency;
    Past {
        at_ms: point.at_ms,
        calls: rounded(point.rates.calls),
        errors: rounded(point.rates.errors),
        p50: latency.map(|latency| ms(latency.p50)),
        p99: latency.map(|latency| ms(latency.p99)),
        heat: point.heat().collect(),
    }
}

fn percentiles(latency: Latency) -> Percentiles {
    Percentiles { p50: ms(latency.p50), p90: ms(latency.p90), p99: ms(latency.p99) }
}

fn working((call, glance): &(Call, Glance)) -> Working<'_> {
    Working {
        id: call.observed.id(),
        task: call.task.as_str(),
        function: &call.function,
        level: glance.level,
        cpu_ms: ms(glance.cpu),
        elapsed_ms: ms(call.arrived.elapsed()),
    }
}

fn task<'a>(name: &'a TaskName, seen: &'a Seen, whole: bool) -> Task<'a> {
    let row = &seen.row;
    Task {
        name: name.as_str(),
        kind: row.kind.as_str(),
        calls: row.calls,
        errors: row.errors,
        cancelled: row.cancelled,
        running: row.running,
        rate: rounded(row.rate),
        error_rate: rounded(row.error_rate),
        p50_ms: row.p50.map(ms),
        p99_ms: row.p99.map(ms),
        // As a percentage to the thousandth: what is busy a little is told from what is idle.
        cpu_share: rounded(row.cpu_share * 100.0) / 100.0,
        cpu_part: row.cpu_part.map(rounded),
        memory_bytes_max: row.memory_bytes_max,
        history: whole.then_some(&seen.history),
    }
}

/// To the thousandth: more digits are noise, and bytes.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
