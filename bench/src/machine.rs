//! The machine and the versions, as they are in this run; and the one limit that is raised.
//!
//! What cannot be found out is left out, never guessed.

use gateway::runtime::engine::Runs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};

/// The machine, a line per property.
pub fn describe(quick: bool) -> Vec<String> {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = first_line("/proc/sys/kernel/osrelease");
    let maps = first_line("/proc/sys/vm/max_map_count");
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    vec![
        format!(
            "{} run, {} (load generator on the same cores)",
            if quick { "quick" } else { "full" },
            date(seconds)
        ),
        format!("{cores} cores of {cpu}, {memory} of memory, Linux {kernel}, vm.max_map_count {maps}"),
        format!(
            "wasmtime {}, tokio {}, axum {}, {}",
            locked("wasmtime"),
            locked("tokio"),
            locked("axum"),
            wrk()
        ),
        format!("slots: {}", Runs::for_this_machine(0).formula()),
        load(),
    ]
}

/// What else keeps the machine busy.
pub fn load() -> String {
    let text = first_line("/proc/loadavg");
    let averages: Vec<&str> = text.split(' ').take(3).collect();
    format!("load average now (1, 5, 15 minutes): {}", averages.join(" "))
}

/// CPU time that the machine spent so far on anything but this run: on other processes, or as
/// stolen by its host. What was in the way, where a load average tells only how long the queue was.
pub struct Strangers {
    all: f64,
    own: f64,
    since: Instant,
}

impl Strangers {
    /// From now on.
    pub fn watch() -> Self {
        let (all, own) = spent();
        Self { all, own, since: Instant::now() }
    }

    /// The cores that they took.
    pub fn cores(&self) -> f64 {
        let (all, own) = spent();
        ((all - self.all) - (own - self.own)).max(0.0) / self.since.elapsed().as_secs_f64()
    }
}

/// Seconds of CPU time: of the whole machine, and of this process and its ended children.
fn spent() -> (f64, f64) {
    let ticks = |text: &str, from: usize, count: usize| -> f64 {
        let fields = text.split_whitespace().skip(from).take(count);
        fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
    };
    let machine = first_line("/proc/stat");
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let all = ticks(&machine, 1, 3) + ticks(&machine, 6, 3);
    let stat = first_line("/proc/self/stat");
    // utime, stime, cutime, cstime
    let own = stat.rsplit_once(')').map_or(0.0, |(_, rest)| ticks(rest, 11, 4));
    let second = rustix::param::clock_ticks_per_second() as f64;
    (all / second, own / second)
}

/// As many open files as the hard limit allows: thousands of connections need one each.
pub fn raise_open_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version in the lock file this binary was built from.
fn locked(package: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let name = format!("name = \"{package}\"");
    let version = text.lines().skip_while(|line| **line != name).nth(1);
    version.and_then(|line| line.split('"').nth(1)).unwrap_or("?").to_owned()
}

/// wrk's own word for its version; it exits with an error when asked, but it answers.
fn wrk() -> String {
    let Ok(output) = Command::new("wrk").arg("-v").output() else { return "no wrk".to_owned() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Days since 1970 as a date (Howard Hinnant's civil_from_days).
fn date(seconds: u64) -> String {
    let z = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_709_164_800), "2024-02-29");
    }
}
