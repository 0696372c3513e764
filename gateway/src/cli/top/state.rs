//! The document of `GET /state`, as far as it is drawn.
//!
//! Members that are missing are taken as nothing, so that a newer or older gateway can be looked at, too.

use serde::Deserialize;

/// See the file's page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct State {
    pub version: String,
    pub uptime_s: f64,
    pub rates: Rates,
    pub latency_ms: Option<Latency>,
    pub history: Vec<Moment>,
    pub pool: Pool,
    pub memory: Memory,
    pub workers: Vec<Option<Worker>>,
    pub in_flight: u64,
    pub tasks: Vec<Task>,
    pub loading: Vec<String>,
    pub failures: Vec<Failure>,
}

/// Calls that ended, per second.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rates {
    pub calls: f64,
    pub errors: f64,
    pub cancelled: f64,
}

/// Percentiles of the time from arrival to end, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// One sample of the past.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Moment {
    pub calls: f64,
}

/// The pool's numbers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pool {
    pub workers: u64,
    pub running: u64,
    pub queued: Vec<u64>,
    pub parked: u64,
    pub permits: u64,
    pub runs_max: u64,
    pub waiting: u64,
    pub slices_per_s: f64,
    pub preemptions_per_s: f64,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub held_bytes: u64,
    pub budget_bytes: u64,
    pub resident_bytes: u64,
}

/// What a worker runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Worker {
    pub id: String,
    pub task: String,
    pub function: String,
    pub level: Option<u64>,
    pub cpu_ms: f64,
    pub elapsed_ms: f64,
}

/// A task's line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Task {
    pub name: String,
    pub kind: String,
    pub calls: u64,
    pub errors: u64,
    pub running: u64,
    pub rate: f64,
    pub error_rate: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub cpu_share: f64,
    pub memory_bytes_max: u64,
}

/// What could not be loaded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Failure {
    pub file: String,
    pub reason: String,
}
