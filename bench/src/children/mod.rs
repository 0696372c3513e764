//! The measured processes: each is this binary again, started with a hidden subcommand.
//!
//! A contender says `ready ADDRESS` on its standard output, answers each line on its standard input
//! with one line of JSON (what it is doing now), and ends when its input does, so that none
//! outlives the benchmark. A one-off prints its result as JSON and ends.

pub mod contender;
mod cost;
pub mod foreign;
mod gateway;
mod hangups;
mod native;
mod parked;
pub mod peers;
pub mod program;
pub mod work;

pub use gateway::has_flag;
pub use hangups::Kind;
pub use native::{Mode, mix};

use crate::proc::Process;
use anyhow::Context as _;
use contender::Contender;
use program::Program;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Who serves: a process of ours, which can be asked what it is doing, or a program of others.
pub enum Server {
    /// The gateway or a native reference.
    Ours(Contender),
    /// A peer.
    Theirs(Program),
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Ours(contender) => contender.address,
            Self::Theirs(program) => program.address,
        }
    }

    /// The process, to be watched.
    pub fn process(&self) -> Process {
        match self {
            Self::Ours(contender) => contender.process(),
            Self::Theirs(program) => program.process(),
        }
    }
}

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
        /// Flags of `unblock serve`.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        flags: Vec<String>,
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
    /// Calls without HTTP.
    Cost {
        /// The guest as the gateway's samples are linked.
        after: PathBuf,
        /// The same, as compilers link it.
        before: PathBuf,
        /// How many turns of each.
        rounds: usize,
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
        Child::Gateway { folder, flags } => gateway::run(&folder, &flags),
        Child::Parked { folder, count, seconds } => parked::run(&folder, count, seconds),
        Child::Cost { after, before, rounds } => cost::run(&after, &before, rounds),
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
