//! What the kernel says of a process: CPU time, memory, threads.
//!
//! Reads `/proc` only; nothing is asked of the process itself.

use anyhow::Context as _;
use std::time::Duration;

/// A process that is watched.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// This process.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// User and system time of all its threads so far.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let text = self.read("stat")?;
        // The name may hold spaces and parentheses; the fields are counted after its end.
        let rest = text.rsplit_once(')').context("/proc/PID/stat has no name")?.1;
        let ticks = |index| rest.split_whitespace().nth(index).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("/proc/PID/stat has no times")?;
        Ok(Duration::from_secs_f64((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Resident memory in KiB, each page shared with other processes counted in part (PSS).
    pub fn memory_kib(self) -> anyhow::Result<u64> {
        let text = self.read("smaps_rollup")?;
        let line = text.lines().find(|line| line.starts_with("Pss:")).context("smaps_rollup has no Pss")?;
        let value = line.split_whitespace().nth(1).context("Pss has no value")?;
        value.parse().context("Pss is no number")
    }

    /// Open file descriptors.
    pub fn descriptors(self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/fd", self.0);
        Ok(std::fs::read_dir(&path).with_context(|| format!("reading {path}"))?.count() as u64)
    }

    /// Threads of the operating system.
    pub fn threads(self) -> anyhow::Result<u64> {
        let text = self.read("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Threads:")).context("no Threads line")?;
        line.trim().parse().context("Threads is no number")
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }
}
