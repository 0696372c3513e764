//! The books of a soak: what each kind of client saw, held against what the gateway counted for its task.
//!
//! The gateway counts calls, errors and cancellations; what is none of these was answered. Knows no client.

use super::Report;
use super::clients::{KINDS, Kind, Vanished};
use crate::load::connection::Connection;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What a client saw of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saw {
    /// An answer with that status.
    Status(u16),
    /// It hung up by itself.
    HungUp,
    /// The gateway closed the connection without an answer.
    Closed,
}

/// Outcomes by kind.
#[derive(Default)]
pub struct Ledger(BTreeMap<&'static str, BTreeMap<Saw, u64>>);

/// A task's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    calls: u64,
    errors: u64,
    cancelled: u64,
    running: u64,
}

impl Counts {
    fn ask(address: SocketAddr, task: &str) -> anyhow::Result<Self> {
        let answer = Connection::open(address)?.ask(&format!("/tasks/{task}"))?;
        let document: serde_json::Value =
            serde_json::from_slice(&answer.body).context("a task's description")?;
        let count = |name: &str| {
            let path = format!("/counts/{name}");
            document
                .pointer(&path)
                .and_then(serde_json::Value::as_u64)
                .with_context(|| format!("no {path} of {task}"))
        };
        Ok(Self {
            calls: count("calls")?,
            errors: count("errors")?,
            cancelled: count("cancelled")?,
            running: count("running")?,
        })
    }

    fn answered(&self) -> Option<u64> {
        self.calls.checked_sub(self.errors + self.cancelled + self.running)
    }
}

impl Ledger {
    /// Books what a client of `kind` saw.
    pub fn book(&mut self, kind: &'static str, saw: Saw) {
        *self.0.entry(kind).or_default().entry(saw).or_default() += 1;
    }

    /// Takes over another's books.
    pub fn add(&mut self, other: Self) {
        for (kind, outcomes) in other.0 {
            for (saw, count) in outcomes {
                *self.0.entry(kind).or_default().entry(saw).or_default() += count;
            }
        }
    }

    /// Writes the books, and checks that they balance.
    pub fn judge(&self, address: SocketAddr, report: &mut Report) -> anyhow::Result<()> {
        report.line("| clients | requests | what they saw | the gateway counted: calls | answered | failed | cancelled |".to_owned());
        report.line("|---|---|---|---|---|---|---|".to_owned());
        let mut checks = Vec::new();
        let (mut requests, mut calls, mut settled) = (0, 0, 0);
        for kind in KINDS {
            let none = BTreeMap::new();
            let saw = self.0.get(kind.name).unwrap_or(&none);
            let sum: u64 = saw.values().sum();
            requests += sum;
            let shown: Vec<String> = saw.iter().map(|(saw, count)| show(*saw, *count)).collect();
            let mut line = format!("| {} | {sum} | {} |", kind.name, shown.join(", "));
            if let Some(task) = kind.task {
                let counts = Counts::ask(address, task)?;
                let answered = counts.answered();
                let told = answered.map_or("–".to_owned(), |count| count.to_string());
                line += &format!(" {} | {told} | {} | {} |", counts.calls, counts.errors, counts.cancelled);
                calls += counts.calls;
                settled += answered.unwrap_or_default() + counts.errors + counts.cancelled;
                checks.push((kind.name, balanced(kind, saw, &counts)));
            } else {
                line += " none | | | |";
            }
            checks.push((kind.name, expected(kind, saw)));
            report.line(line);
        }
        report.line(format!("| all | {requests} | | {calls} | | | |"));
        report.text.push('\n');
        report.check(&format!("{calls} calls, {settled} answered, failed or cancelled"), calls == settled);
        let wrong: Vec<String> =
            checks.into_iter().filter_map(|(name, found)| Some(format!("{name}: {}", found?))).collect();
        report.check("what each kind of client saw is what the gateway counted", wrong.is_empty());
        for line in wrong {
            report.line(format!("  - {line}"));
        }
        Ok(())
    }
}

fn show(saw: Saw, count: u64) -> String {
    match saw {
        Saw::Status(status) => format!("{count} × {status}"),
        Saw::HungUp => format!("{count} hung up"),
        Saw::Closed => format!("{count} closed"),
    }
}

/// The part of the requests whose clients may be gone before the gateway has read them: they hang up within
/// microseconds, now and then, and what was never accepted is no call.
const UNREAD_PART_MAX: f64 = 0.02;

/// What is wrong between clients and gateway.
fn balanced(kind: &Kind, saw: &BTreeMap<Saw, u64>, counts: &Counts) -> Option<String> {
    let sum = |holds: fn(&Saw) -> bool| {
        saw.iter().filter(|(saw, _)| holds(saw)).map(|(_, count)| count).sum::<u64>()
    };
    let fine = sum(|saw| matches!(saw, Saw::Status(200..300)));
    let failed = sum(|saw| matches!(saw, Saw::Status(status) if *status >= 400));
    let hung_up = sum(|saw| matches!(saw, Saw::HungUp));
    let sent = fine + failed + hung_up;
    let unread =
        sent.checked_sub(counts.calls).filter(|unread| *unread as f64 <= hung_up as f64 * UNREAD_PART_MAX);
    let settled = match kind.vanished {
        Vanished::Cancelled => counts.answered() == Some(fine) && counts.errors == failed,
        Vanished::AsTheGuestEnds => counts.answered().is_some(),
    };
    let right = unread.is_some() && settled && counts.running == 0;
    (!right).then(|| {
        format!("saw {fine} answers, {failed} failures and hung up {hung_up} times, counted {counts:?}")
    })
}

/// What is wrong with what the clients saw.
fn expected(kind: &Kind, saw: &BTreeMap<Saw, u64>) -> Option<String> {
    let strange: Vec<String> = saw
        .iter()
        .filter(|(saw, _)| !kind.expected.contains(saw))
        .map(|(saw, count)| show(*saw, *count))
        .collect();
    if saw.is_empty() {
        return Some("made no request".to_owned());
    }
    (!strange.is_empty()).then(|| format!("did not expect {}", strange.join(", ")))
}
