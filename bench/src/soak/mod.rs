//! `bench soak`: everything at once for minutes, then a look at what is left.
//!
//! A gateway in a process of its own serves a folder that is being changed; good, slow, hostile and vanishing clients
//! call it (`clients.rs`), each kind a task of its own, so that what the clients saw can be held against what the
//! gateway counted (`ledger.rs`): exactly, call by call. A warm-up comes first; runs, slots, memory, threads
//! and descriptors are compared at rest, before and after. Knows no measuring of speed.

mod chart;
mod clients;
mod folder;
mod ledger;

use crate::children::contender::Contender;
use crate::folder::Folder;
use crate::machine;
use crate::proc::Process;
use anyhow::{Context as _, bail};
use ledger::Ledger;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The part of the time that warms up: until each task's last calls are on record, memory grows.
const WARM_UP_PART: f64 = 0.4;

/// Longest warm-up: by then every kind has been through, and the allocator has its arenas.
const WARM_UP_MAX: Duration = Duration::from_secs(60);

/// What memory may have grown by.
const GROWTH_MAX: f64 = 1.2;

/// How long the gateway gets to come to rest: tokio's file threads go after 10 s without work, the allocator gives
/// pages back after 10 s.
const REST_MAX: Duration = Duration::from_secs(25);

/// Sleeping calls and compiling threads end within that, so this is what "the same again" waits for.
const LOOK: Duration = Duration::from_millis(200);

/// The gateway at rest.
#[derive(Clone, Copy, Debug)]
struct Rest {
    runs: u64,
    waiting: u64,
    held_bytes: u64,
    memory_kib: u64,
    threads: u64,
    descriptors: u64,
}

impl Rest {
    fn look(gateway: &mut Contender) -> anyhow::Result<Self> {
        let process: Process = gateway.process();
        Ok(Self {
            runs: gateway.number("in_flight")?,
            waiting: gateway.number("waiting")?,
            held_bytes: gateway.number("held_bytes")?,
            memory_kib: process.memory_kib()?,
            threads: process.threads()?,
            descriptors: process.descriptors()?,
        })
    }

    /// Whether no more is held than before.
    fn within(&self, before: &Self) -> bool {
        let grown = self.memory_kib as f64 / before.memory_kib as f64;
        self.runs == 0
            && self.waiting == 0
            && self.held_bytes <= before.held_bytes
            && self.threads <= before.threads
            && self.descriptors <= before.descriptors
            && grown <= GROWTH_MAX
    }

    /// Looks until `enough`, or until the time for that is over; the last look.
    fn until(gateway: &mut Contender, enough: impl Fn(&Self) -> bool) -> anyhow::Result<Self> {
        let start = Instant::now();
        loop {
            let rest = Self::look(gateway)?;
            if enough(&rest) || start.elapsed() > REST_MAX {
                return Ok(rest);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Soaks a gateway; the exit code says whether anything was left or unaccounted for. `chart` is where its memory
/// is drawn.
pub fn run(minutes: f64, chart: Option<&Path>) -> anyhow::Result<ExitCode> {
    if !(0.1..=24.0 * 60.0).contains(&minutes) {
        bail!("found {minutes} minutes, expected 0.1 to 1440");
    }
    machine::raise_open_files()?;
    let time = Duration::from_secs_f64(minutes * 60.0);
    let warm_up = time.mul_f64(WARM_UP_PART).min(WARM_UP_MAX);
    let folder = folder::make()?;
    let mut gateway = Contender::gateway(folder.path()).context("starting the gateway")?;
    let fresh = Rest::look(&mut gateway)?;
    let mut ledger = Ledger::default();
    let ended = AtomicBool::new(false);
    let (soaked, points) = std::thread::scope(|scope| {
        let watched = chart::watch(scope, gateway.process(), &ended);
        let soaked = soak(&mut gateway, &folder, (warm_up, time), &fresh, &mut ledger);
        ended.store(true, Ordering::Relaxed);
        (soaked, watched.join().unwrap_or_default())
    });
    let (changes, before, after) = soaked?;
    if let Some(path) = chart {
        chart::draw(path, &points, warm_up.as_secs_f64())?;
    }
    let mut report = Report::default();
    report.line(format!(
        "{}, warm-up of {warm_up:.0?} included; {changes} changes of the tasks folder",
        show(time)
    ));
    report.text.push('\n');
    ledger.judge(gateway.address, &mut report)?;
    report.text.push('\n');
    judge(&before, &after, &mut report);
    use std::io::Write as _;
    std::io::stdout().write_all(report.text.as_bytes()).context("writing the report")?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The warm-up and the rest of it: how often the folder was changed, and the gateway at rest before and after.
fn soak(
    gateway: &mut Contender,
    folder: &Folder,
    (warm_up, time): (Duration, Duration),
    fresh: &Rest,
    ledger: &mut Ledger,
) -> anyhow::Result<(u64, Rest, Rest)> {
    let mut changes = clients::soak(gateway, folder, warm_up, ledger).context("the warm-up")?;
    // The fresh process has no connections, no compile and no file threads.
    let before = Rest::until(gateway, |rest| {
        rest.runs == 0 && rest.threads <= fresh.threads && rest.descriptors <= fresh.descriptors
    })?;
    changes += clients::soak(gateway, folder, time.saturating_sub(warm_up), ledger).context("the soak")?;
    let after = Rest::until(gateway, |rest| rest.within(&before))?;
    Ok((changes, before, after))
}

fn show(time: Duration) -> String {
    format!("{:.1} minutes", time.as_secs_f64() / 60.0)
}

fn judge(before: &Rest, after: &Rest, report: &mut Report) {
    report.line("| at rest | after the warm-up | at the end |".to_owned());
    report.line("|---|---|---|".to_owned());
    let rows = [
        ("runs in flight", before.runs, after.runs),
        ("calls that wait for a slot", before.waiting, after.waiting),
        ("memory charged to calls, B", before.held_bytes, after.held_bytes),
        ("memory of the process (PSS), KiB", before.memory_kib, after.memory_kib),
        ("threads", before.threads, after.threads),
        ("descriptors", before.descriptors, after.descriptors),
    ];
    for (what, before, after) in rows {
        report.line(format!("| {what} | {before} | {after} |"));
    }
    report.text.push('\n');
    report.check("no run is left, none waits", after.runs == 0 && after.waiting == 0);
    report.check("no memory is charged that was not before", after.held_bytes <= before.held_bytes);
    report.check("no thread more", after.threads <= before.threads);
    report.check("no descriptor more", after.descriptors <= before.descriptors);
    let grown = after.memory_kib as f64 / before.memory_kib as f64;
    report.check(
        &format!("memory at {:.0} % of that before, at most 120 %", grown * 100.0),
        grown <= GROWTH_MAX,
    );
}

/// The text, and how many checks failed.
#[derive(Default)]
struct Report {
    text: String,
    failed: usize,
}

impl Report {
    fn line(&mut self, line: String) {
        self.text.push_str(&line);
        self.text.push('\n');
    }

    fn check(&mut self, what: &str, holds: bool) {
        self.failed += usize::from(!holds);
        self.line(format!("- {} {what}", if holds { "PASS" } else { "FAIL" }));
    }
}
