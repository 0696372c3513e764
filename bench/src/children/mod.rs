//! The measured processes: each is this binary again, started with a hidden subcommand.
//!
//! A contender says `ready ADDRESS` on its standard output, answers each line on its standard input
//! with one line of JSON (what it is doing now), and ends when its input does, so that none
//! outlives the benchmark. A one-off prints its result as JSON and ends.

pub mod contender;
pub mod foreign;
mod gateway;
mod hangups;
mod native;
mod parked;

pub use hangups::Kind;
pub use native::Mode;

use anyhow::Context as _;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a process of its own does.
#[derive(clap::Subcommand)]
pub enum Child {
    /// Serves native handlers.
    Native {
        /// How they compute.
        mode: Mode,
    },
    /// Serves tasks.
    Gateway {
        /// The folder made by `folder.rs`.
        folder: PathBuf,
    },
    /// Makes sleeping calls without HTTP.
    Parked {
        /// The folder.
        folder: PathBuf,
        /// How many.
        count: usize,
        /// For how long they sleep.
        seconds: u64,
    },
    /// Hangs up and waits for the end of the run.
    Hangups {
        /// The folder.
        folder: PathBuf,
        /// What the run is doing.
        kind: Kind,
        /// How often.
        samples: usize,
    },
}

/// Is that process.
pub fn run(child: Child) -> anyhow::Result<()> {
    crate::machine::raise_open_files()?;
    match child {
        Child::Native { mode } => native::run(mode),
        Child::Gateway { folder } => gateway::run(&folder),
        Child::Parked { folder, count, seconds } => parked::run(&folder, count, seconds),
        Child::Hangups { folder, kind, samples } => hangups::run(&folder, kind, samples),
    }
}

/// A contender's side of the conversation, until its input ends.
fn converse(address: SocketAddr, state: impl Fn() -> serde_json::Value) -> anyhow::Result<()> {
    say(&format!("ready {address}"))?;
    for line in std::io::stdin().lock().lines() {
        line.context("reading from the benchmark")?;
        say(&state().to_string())?;
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("writing to the benchmark")
}
