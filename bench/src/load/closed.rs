//! A closed loop by wrk: each connection sends its next request when it has its answer.
//!
//! wrk (Debian's package) takes less of the shared cores per request than any other tool tried.
//! It counts statuses but reads no bodies; the rows check answers before and after.

use crate::proc::Process;
use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a turn gave.
pub struct Turn {
    /// Requests answered per second.
    pub rate: f64,
    /// CPU time of the contender's process per request, in µs.
    pub cpu_us: f64,
}

/// Drives `connections` for `time`.
pub fn drive(
    address: SocketAddr,
    process: Process,
    target: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Turn> {
    drive_with(address, process, target, connections, time, None)
}

/// Drives with a script of wrk's, which says what a request is.
pub fn drive_with(
    address: SocketAddr,
    process: Process,
    target: &str,
    connections: usize,
    time: Duration,
    script: Option<&Path>,
) -> anyhow::Result<Turn> {
    let before = process.cpu()?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{}s", time.as_secs().max(1))])
        .args(script.map(|path| format!("-s{}", path.display())))
        .arg(format!("http://{address}{target}"))
        .output()
        .context("wrk is missing; it is a Debian package: apt-get install wrk")?;
    let cpu = process.cpu()?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk on {target} met errors:\n{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let rate: f64 = field(&text, "Requests/sec:").context("wrk told no rate")?;
    let count: f64 = text
        .lines()
        .find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok())
        .context("wrk told no number of requests")?;
    Ok(Turn { rate, cpu_us: cpu.as_secs_f64() * 1e6 / count })
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().parse().ok())
}
