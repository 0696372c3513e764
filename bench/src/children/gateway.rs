//! The gateway as a contender: what `unblock serve` starts, with its default settings.
//!
//! Logging is off in all contenders but those that are told a filter. The state it tells is the pool's numbers of the moment.

use ::gateway::app::{self, Server};
use ::gateway::config::{Config, Flags};
use ::gateway::telemetry;
use anyhow::{Context as _, bail};
use clap::{CommandFactory as _, Parser as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the tasks may take to load.
const LOADING_MAX: Duration = Duration::from_secs(120);

/// How often it is asked whether they are: row k measures starts of a few ms.
const LOOK: Duration = Duration::from_millis(1);

/// Flags without a program around them.
#[derive(clap::Parser)]
struct Bare {
    #[command(flatten)]
    flags: Flags,
}

/// The settings of a default start and `more` flags, with the folder's tasks and cache, on a port of its own.
pub fn config(folder: &Path, more: &[String]) -> anyhow::Result<Config> {
    let words = std::iter::once("bench").chain(more.iter().map(String::as_str));
    let mut flags = Bare::try_parse_from(words)?.flags;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    flags.tasks = path("tasks");
    flags.cache = Some(path("cache"));
    flags.listen = "127.0.0.1:0".to_owned();
    Ok(Config::read(&flags)?)
}

/// Starts it and waits until the folder's tasks are loaded.
pub fn start(folder: &Path, more: &[String]) -> anyhow::Result<Server> {
    let server = app::start(&config(folder, more)?, None)?;
    let deadline = Instant::now() + LOADING_MAX;
    while !server.registry().ready() {
        if Instant::now() > deadline {
            bail!("the tasks did not load within {LOADING_MAX:?}");
        }
        std::thread::sleep(LOOK);
    }
    Ok(server)
}

/// Whether `unblock serve` has such a flag.
pub fn has_flag(name: &str) -> bool {
    Bare::command().get_arguments().any(|argument| argument.get_long() == Some(name))
}

/// Serves until the input ends.
pub fn run(folder: &Path, more: &[String]) -> anyhow::Result<()> {
    let config = config(folder, more)?;
    if !config.log.is_empty() {
        telemetry::install(config.log_format, Some(&config.log), false).map_err(anyhow::Error::msg)?;
    }
    let server = start(folder, more).context("starting the gateway")?;
    super::converse(server.address(), || state(&server))
}

/// The pool's numbers, and what its calls hold. `unsunk` are the loops that are not on the lowest level yet.
fn state(server: &Server) -> serde_json::Value {
    let stats = server.pool().stats();
    let lowest = stats.queued.last().copied().unwrap_or_default();
    serde_json::json!({
        "in_flight": stats.permits,
        "waiting": stats.admission_waiting,
        "held_bytes": server.memory().held_bytes(),
        "running": stats.running,
        "asleep": stats.parked,
        "unsunk": stats.queued.iter().sum::<usize>() - lowest,
        "slices": stats.slices,
        "preemptions": stats.preemptions,
        "interrupts": stats.interrupts,
        "aged_slices": stats.aged_slices,
        "worker_wakes": stats.worker_wakes,
    })
}
