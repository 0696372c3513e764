//! Row b: a short call and `GET /`, each at a fixed rate, while endless calls compute.
//!
//! In each round every contender is started anew, and the loops are added in steps. The gateway's
//! loops are brand new only once: the load begins when all have sunk to the lowest level. Native
//! loops cannot be stopped, so the contender is killed with them.

use crate::children::Mode;
use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::{Connection, get};
use crate::load::open::{self, Seen};
use crate::scale::Scale;
use crate::table::{Bound, Part, Table};
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

const LOOPS: [(usize, &str); 3] = [(0, "0 loops"), (32, "32 loops"), (1_000, "1,000 loops")];

/// Requests a second, of each of both kinds, half a period apart.
const RATE: u32 = 500;

/// Longest time for loops to sink; a thousand need about 4 s on 2 cores.
const SINKING_MAX: Duration = Duration::from_secs(30);

/// Time for native loops to get hold of their threads.
const NATIVE_RAMP: Duration = Duration::from_millis(500);

struct Subject {
    name: &'static str,
    call: &'static str,
    spin: &'static str,
    start: fn(&Folder) -> anyhow::Result<Contender>,
    /// By number of loops: the call, then `GET /`.
    seen: [[Rounds; 2]; 3],
}

#[derive(Default)]
struct Rounds {
    p50: Figure,
    p99: Figure,
    unanswered: u64,
}

impl Rounds {
    fn push(&mut self, seen: &Seen) {
        self.p50.push(seen.at(0.5));
        self.p99.push(seen.at(0.99));
        self.unanswered += seen.unanswered;
    }

    fn parts(&self) -> [Part<'_>; 2] {
        [("p50", &self.p50, "µs"), ("p99", &self.p99, "µs")]
    }

    /// Requests without an answer make every figure a lower bound.
    fn remark(&self) -> String {
        match self.unanswered {
            0 => String::new(),
            count => format!("; at least, since {count} had no answer"),
        }
    }
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let mut subjects = [
        Subject {
            name: "native axum, spawn_blocking",
            call: "/add?a=1&b=2",
            spin: "/loop?seconds=300",
            start: |_| Contender::native(Mode::Blocking),
            seen: Default::default(),
        },
        Subject {
            name: "gateway, WAT module",
            call: "/tasks/add/add?a=1&b=2",
            spin: "/tasks/loop/run",
            start: |folder| Contender::gateway(folder.path()),
            seen: Default::default(),
        },
    ];
    let [native, ours] = &mut subjects;
    for index in 0..scale.saturated_rounds {
        if index < scale.saturated_native_rounds {
            round(native, &folder, scale).with_context(|| native.name)?;
        }
        round(ours, &folder, scale).with_context(|| ours.name)?;
    }
    judge(&subjects, table);
    Ok(())
}

fn round(subject: &mut Subject, folder: &Folder, scale: &Scale) -> anyhow::Result<()> {
    let mut contender = (subject.start)(folder)?;
    let mut loops = Vec::new();
    // So that the first call of a process is not counted.
    Connection::open(contender.address)?.ask(subject.call)?;
    for ((count, _), [call, root]) in LOOPS.into_iter().zip(&mut subject.seen) {
        while loops.len() < count {
            let mut connection = Connection::open(contender.address)?;
            connection.send(&get(subject.spin))?;
            loops.push(connection);
        }
        steady(&mut contender, count)?;
        let (seen_call, seen_root) = both(&contender, subject.call, scale.saturated)?;
        call.push(&seen_call);
        root.push(&seen_root);
    }
    Ok(())
}

/// Waits until `count` loops are old.
fn steady(contender: &mut Contender, count: usize) -> anyhow::Result<()> {
    let state = contender.state()?;
    if state.get("unsunk").is_none() {
        std::thread::sleep(NATIVE_RAMP);
        return Ok(());
    }
    let deadline = Instant::now() + SINKING_MAX;
    while contender.number("in_flight")? != count as u64 || contender.number("unsunk")? != 0 {
        if Instant::now() > deadline {
            bail!("{count} loops are not steady after {SINKING_MAX:?}: {}", contender.state()?);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The call and `GET /` at the same time.
fn both(contender: &Contender, call: &str, time: Duration) -> anyhow::Result<(Seen, Seen)> {
    let half = Duration::from_secs(1) / RATE / 2;
    let plan = |target: &str, expected: &'static str, offset: Duration| open::Plan {
        address: contender.address,
        target: target.to_owned(),
        expected,
        rate: RATE,
        time,
        offset: Duration::from_millis(20) + offset,
    };
    let root = plan("/", "Hello, world ", half);
    let beside = std::thread::spawn(move || open::drive(&root));
    let call = open::drive(&plan(call, "3", Duration::ZERO));
    let Ok(root) = beside.join() else { bail!("the load generator panicked") };
    Ok((call?, root?))
}

fn judge(subjects: &[Subject; 2], table: &mut Table) {
    let [native, ours] = subjects;
    for (index, (_, loops)) in LOOPS.into_iter().enumerate() {
        for subject in [native, ours] {
            let Some(seen) = subject.seen.get(index) else { continue };
            for (what, rounds) in ["call", "GET /"].into_iter().zip(seen) {
                let what = format!("{what} at {RATE}/s, {loops}");
                table.parts_and("b", &what, subject.name, &rounds.parts(), &rounds.remark());
            }
        }
    }
    let [_, few, many] = &ours.seen;
    for (what, rounds, p50, p99) in targets(many) {
        let what = format!("{what} at {RATE}/s, 1,000 loops");
        if let Some(most) = p50 {
            table.judged("b", &what, ours.name, ("p50", &rounds.p50, "µs"), Bound::AtMost(most));
        }
        table.judged("b", &what, ours.name, ("p99", &rounds.p99, "µs"), Bound::AtMost(p99));
        if rounds.unanswered > 0 {
            table.target("b", &what, ours.name, rounds.remark(), "all answered", false);
        }
    }
    for (what, (few, many)) in ["call", "GET /"].into_iter().zip(few.iter().zip(many)) {
        let ratio = many.p50.with(&few.p50, |many, few| many / few);
        let what = format!("{what}, p50 with 1,000 loops / with 32");
        table.ratio("b", &what, ours.name, &ratio, Bound::AtMost(2.0));
    }
}

/// What the call and `GET /` have to reach among 1,000 loops: p50 and p99 in µs.
fn targets([call, root]: &[Rounds; 2]) -> [(&'static str, &Rounds, Option<f64>, f64); 2] {
    [("call", call, Some(150.0), 5_000.0), ("GET /", root, None, 3_000.0)]
}
