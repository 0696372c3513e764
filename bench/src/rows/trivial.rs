//! Row a: a typed call that adds two numbers, over HTTP, beside native handlers that do the same.
//!
//! Throughput with 64 connections in a closed loop; latency of one connection at a fixed rate.

use crate::children::Mode;
use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::Connection;
use crate::load::{closed, open};
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::bail;
use std::time::Duration;

const CONNECTIONS: usize = 64;
const RATE: u32 = 1_000;
const WARM_UP: Duration = Duration::from_secs(1);

const NATIVE: &str = "/add?a=1&b=2";
const WAT: &str = "/tasks/add/add?a=1&b=2";
const RUST: &str = "/tasks/add-std/add?a=1&b=2";

/// One contender and its rounds.
struct Entry {
    name: &'static str,
    contender: Contender,
    target: &'static str,
    rate: Figure,
    cpu: Figure,
    p50: Figure,
    p99: Figure,
}

impl Entry {
    fn new(name: &'static str, contender: Contender, target: &'static str) -> anyhow::Result<Self> {
        let (rate, cpu, p50, p99) = Default::default();
        let entry = Self { name, contender, target, rate, cpu, p50, p99 };
        entry.check()?;
        Ok(entry)
    }

    fn check(&self) -> anyhow::Result<()> {
        let answer = Connection::open(self.contender.address)?.ask(self.target)?;
        if answer.status != 200 || answer.body != b"3" {
            bail!("{}: {} {:?}, not 3", self.name, answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }

    fn closed(&self, time: Duration) -> anyhow::Result<closed::Turn> {
        closed::drive(self.contender.address, self.contender.process(), self.target, CONNECTIONS, time)
    }
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let mut entries = [
        Entry::new("native axum, inline", Contender::native(Mode::Inline)?, NATIVE)?,
        Entry::new("native axum, spawn_blocking", Contender::native(Mode::Blocking)?, NATIVE)?,
        Entry::new("gateway, WAT module", Contender::gateway(folder.path())?, WAT)?,
        Entry::new("gateway, Rust component", Contender::gateway(folder.path())?, RUST)?,
    ];
    for entry in &entries {
        entry.closed(WARM_UP)?;
    }
    for _ in 0..scale.rounds {
        for entry in &mut entries {
            let turn = entry.closed(scale.closed)?;
            entry.rate.push(turn.rate);
            entry.cpu.push(turn.cpu_us);
        }
        for entry in &mut entries {
            let seen = open::drive(&open::Plan {
                address: entry.contender.address,
                target: entry.target.to_owned(),
                expected: "3",
                rate: RATE,
                time: scale.open,
                offset: Duration::from_millis(5),
            })?;
            if seen.unanswered > 0 {
                bail!("{} left {} requests without an answer", entry.name, seen.unanswered);
            }
            entry.p50.push(seen.at(0.5));
            entry.p99.push(seen.at(0.99));
        }
    }
    for entry in &entries {
        entry.check()?;
    }
    judge(&entries, table);
    Ok(())
}

fn judge(entries: &[Entry; 4], table: &mut Table) {
    let [inline, blocking, wat, rust] = entries;
    for entry in entries {
        let parts = [("throughput", &entry.rate, "/s"), ("CPU a call", &entry.cpu, "µs")];
        table.parts("a", "trivial call, 64 connections", entry.name, &parts);
    }
    let pairs = [(wat, inline, "inline", 0.65), (wat, blocking, "spawn_blocking", 1.2)];
    for (entry, other, name, least) in pairs.into_iter().chain([(rust, blocking, "spawn_blocking", 0.75)]) {
        let ratio = entry.rate.with(&other.rate, |ours, theirs| ours / theirs);
        let who = format!("{} / {name}", entry.name);
        table.ratio("a", "throughput, 64 connections", &who, &ratio, Bound::AtLeast(least));
    }
    for entry in entries {
        let parts = [("p50", &entry.p50, "µs"), ("p99", &entry.p99, "µs")];
        table.parts("a", "trivial call at 1,000/s, 1 connection", entry.name, &parts);
    }
    for entry in [wat, rust] {
        let who = format!("{} − inline", entry.name);
        let above = |ours: &Figure, theirs: &Figure| ours.with(theirs, |ours, theirs| ours - theirs);
        let (p50, p99) = (above(&entry.p50, &inline.p50), above(&entry.p99, &inline.p99));
        table.judged("a", "p50 at 1,000/s", &who, ("p50", &p50, "µs"), Bound::AtMost(80.0));
        table.judged("a", "p99 at 1,000/s", &who, ("p99", &p99, "µs"), Bound::AtMost(1_000.0));
    }
}
