//! The process as its kernel sees it, under the names that Prometheus's own libraries use.
//!
//! Read from `/proc` (`proc_pid_stat(5)`, `proc_pid_status(5)`) when somebody asks. On a system without
//! it these metrics are missing and nothing else is.

use super::families::Families;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::fs;
use std::time::Duration;

/// Ticks of a second in `/proc`: the same on every machine that this runs on, whatever its kernel's own are.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` between the program's name and the start time: it is the 22nd, the name
/// the second.
const FIELDS_BEFORE_START: usize = 19;

/// The numbers of a moment.
#[derive(Debug)]
pub struct Process {
    cpu: Duration,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
    /// Since 1970.
    start_seconds: f64,
    open_files: u64,
    /// Without a limit there is none to tell.
    open_files_max: Option<u64>,
}

impl Process {
    /// Reads them, if they can be.
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let (stat, system) =
            (fs::read_to_string("/proc/self/stat").ok()?, fs::read_to_string("/proc/stat").ok()?);
        Some(Self {
            cpu: Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()?,
            resident_bytes: number("VmRSS")?.saturating_mul(1024),
            virtual_bytes: number("VmSize")?.saturating_mul(1024),
            threads: number("Threads")?,
            start_seconds: start_seconds(&stat, &system)?,
            open_files: open_files()?,
            open_files_max: getrlimit(Resource::Nofile).current,
        })
    }
}

/// When the process was started, by its own line and that of the system's start.
fn start_seconds(stat: &str, system: &str) -> Option<f64> {
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    // The name may hold anything, parentheses and spaces as well.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(FIELDS_BEFORE_START)?.parse().ok()?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

/// How many files are open.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 the folder's size tells; listing it takes long with 10,000s of connections.
    let told = fs::metadata(FOLDER).ok()?.len();
    // The listing has one more: itself.
    let listed = || Some((fs::read_dir(FOLDER).ok()?.count() as u64).saturating_sub(1));
    if told > 0 { Some(told) } else { listed() }
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Families(encoder);
        let help = "CPU time of the process, all threads, by itself and in the kernel.";
        to.counter(("process_cpu", Some(Unit::Seconds), help), self.cpu.as_secs_f64())?;
        let help = "Memory of the process that is resident.";
        to.gauge(("process_resident_memory", Some(Unit::Bytes), help), self.resident_bytes)?;
        let help = "Address space of the process: each slot for a run reserves 4 GiB of it and uses little.";
        to.gauge(("process_virtual_memory", Some(Unit::Bytes), help), self.virtual_bytes)?;
        to.gauge(
            ("process_open_fds", None, "Files that are open, connections among them."),
            self.open_files,
        )?;
        if let Some(most) = self.open_files_max {
            to.gauge(("process_max_fds", None, "Files that may be open."), most)?;
        }
        to.gauge(("process_threads", None, "Threads of the process."), self.threads)?;
        let help = "When the process started, since 1970.";
        to.gauge(("process_start_time", Some(Unit::Seconds), help), self.start_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let fields: Vec<String> = (4..30).map(|field| (field * 100).to_string()).collect();
        let stat = format!("17 (a ) b) S {}", fields.join(" "));
        assert_eq!(start_seconds(&stat, "cpu 1 2\nbtime 1000\nprocesses 9\n"), Some(1022.0));
        assert_eq!(start_seconds("17 (a", "btime 1000"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let process = Process::read().expect("a /proc");
        assert!(
            process.resident_bytes > 1 << 20 && process.virtual_bytes > process.resident_bytes,
            "{process:?}"
        );
        assert!(process.threads > 0 && process.open_files > 2, "{process:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!(
            process.start_seconds < now + 2.0 && now - process.start_seconds < 86_400.0,
            "{process:?} {now}"
        );
        let files: Vec<fs::File> =
            (0..200).map(|_| fs::File::open("/proc/self/stat").expect("a file")).collect();
        let more = Process::read().expect("a /proc");
        assert!(more.open_files > files.len() as u64, "{more:?}");
        assert!(more.cpu >= process.cpu && more.cpu > Duration::ZERO);
    }
}
