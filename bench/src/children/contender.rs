//! The benchmark's side of a measured process: starts it, asks it, ends it.
//!
//! A contender that is dropped is killed, with whatever it was doing.

use super::{Kind, Mode};
use crate::proc::Process;
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that serves.
pub struct Contender {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Contender {
    /// Native handlers.
    pub fn native(mode: Mode) -> anyhow::Result<Self> {
        let mut command = command("native")?;
        command.arg(match mode {
            Mode::Inline => "inline",
            Mode::Blocking => "blocking",
        });
        Self::start(command)
    }

    /// The gateway over a folder.
    pub fn gateway(folder: &Path) -> anyhow::Result<Self> {
        Self::gateway_with(folder, &[])
    }

    /// The gateway over a folder, with flags of `unblock serve`.
    pub fn gateway_with(folder: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let mut command = command("gateway")?;
        command.arg(folder).args(flags);
        Self::start(command)
    }

    /// The same, with a filter of log lines among the flags: they are written, and read by nobody.
    pub fn gateway_logging(folder: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let mut command = command("gateway")?;
        command.arg(folder).args(flags).stderr(Stdio::null());
        Self::start(command)
    }

    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting a contender")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a contender without pipes");
        };
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut contender = Self { child, input, output: BufReader::new(output), address: unknown };
        let line = contender.line()?;
        let address =
            line.trim().strip_prefix("ready ").with_context(|| format!("a contender said {line:?}"))?;
        contender.address = address.parse().context("a contender's address")?;
        Ok(contender)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("reading from a contender")?;
        if line.is_empty() {
            bail!("a contender ended early; what it said is above");
        }
        Ok(line)
    }

    /// What it is doing now.
    pub fn state(&mut self) -> anyhow::Result<serde_json::Value> {
        writeln!(self.input, "state").context("asking a contender")?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("a contender's state {line:?}"))
    }

    /// A number of its state.
    pub fn number(&mut self, name: &str) -> anyhow::Result<u64> {
        let state = self.state()?;
        state.get(name).and_then(serde_json::Value::as_u64).with_context(|| format!("no {name} in {state}"))
    }

    /// Waits until its number `name` is `wanted`; tells whether it came to that within `limit`.
    pub fn reaches(&mut self, name: &str, wanted: u64, limit: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + limit;
        while self.number(name)? != wanted {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(true)
    }

    /// The process, to be watched.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sleeping calls in a process of their own: see `parked.rs`.
pub fn parked(folder: &Path, count: usize, seconds: u64) -> anyhow::Result<serde_json::Value> {
    let mut command = command("parked")?;
    command.arg(folder).arg(count.to_string()).arg(seconds.to_string());
    once(command)
}

/// Calls without HTTP in a process of their own: see `cost.rs`.
pub fn cost(after: &Path, before: &Path, rounds: usize) -> anyhow::Result<serde_json::Value> {
    let mut command = command("cost")?;
    command.arg(after).arg(before).arg(rounds.to_string());
    once(command)
}

/// Hang-ups in a process of their own: see `hangups.rs`.
pub fn hangups(folder: &Path, kind: Kind, samples: usize) -> anyhow::Result<serde_json::Value> {
    let mut command = command("hangups")?;
    command.arg(folder).arg(kind.word()).arg(samples.to_string());
    once(command)
}

fn once(mut command: Command) -> anyhow::Result<serde_json::Value> {
    let output = command.stderr(Stdio::inherit()).output().context("starting a measured process")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("a measured process failed: {}; what it said is above", output.status);
    }
    serde_json::from_str(text.trim()).with_context(|| format!("a measured process said {text:?}"))
}

fn command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.args(["child", name]);
    // A developer's setting that makes every error walk its stack, which servers don't have.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    Ok(command)
}
