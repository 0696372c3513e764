//! Row n: 1, 2, 5 and 10 times the calls that fit, as an open loop: what is still finished, how late, and what those
//! are told that do not get in.
//!
//! The capacity is measured by a closed loop just before. The call computes for one to two milliseconds. The
//! generator sits on the same cores, so that what it takes for 10 times the requests is missing from the
//! calls: its share and the gateway's own are told beside the figures.

use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::Connection;
use crate::load::{closed, flood};
use crate::proc::Process;
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

/// Steps that take a guest between 1 and 2 ms.
const STEPS: u32 = 1_000_000;

const MULTIPLES: [(f64, &str); 4] = [
    (1.0, "1 × the capacity"),
    (2.0, "2 × the capacity"),
    (5.0, "5 × the capacity"),
    (10.0, "10 × the capacity"),
];

/// Connections of the closed loop: enough to keep the workers busy, not enough to queue.
const CONNECTIONS: usize = 8;

/// What is to be finished at 10 times the capacity, of the most at any.
const KEPT_LEAST: f64 = 0.9;

/// `queue_wait`, the default, in ms: who waited longer is refused.
const QUEUE_WAIT_MS: f64 = 5_000.0;

const EMPTY_MAX: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Rounds {
    goodput: Figure,
    p99_ms: Figure,
    refused: Figure,
    refusal_p99_ms: Figure,
    generator: Figure,
    gateway: Figure,
    without_retry: u64,
    unsent: u64,
    unanswered: u64,
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::one()?;
    folder.mix()?;
    let target = format!("/tasks/mix/mix?n={STEPS}");
    let (mut capacity, mut all): (Figure, [Rounds; 4]) = Default::default();
    for _ in 0..scale.overload_rounds {
        let mut gateway = Contender::gateway(folder.path())?;
        let (address, process) = (gateway.address, gateway.process());
        Connection::open(address)?.ask(&target)?;
        let fits = closed::drive(address, process, &target, CONNECTIONS, scale.closed)?.rate;
        capacity.push(fits);
        for ((multiple, name), rounds) in MULTIPLES.into_iter().zip(&mut all) {
            let plan =
                flood::Plan { address, target: target.clone(), rate: fits * multiple, time: scale.overload };
            rounds.turn(&plan, process).with_context(|| name)?;
            if !gateway.reaches("in_flight", 0, EMPTY_MAX)? {
                bail!("{} runs are left after {name}", gateway.number("in_flight")?);
            }
        }
    }
    judge(&capacity, &all, table);
    Ok(())
}

impl Rounds {
    fn turn(&mut self, plan: &flood::Plan, gateway: Process) -> anyhow::Result<()> {
        let mut flood = flood::Generator::new(plan)?;
        let (own, theirs, start) = (Process::own().cpu()?, gateway.cpu()?, Instant::now());
        flood.send_all()?;
        let time = start.elapsed().as_secs_f64();
        self.generator.push(Process::own().cpu()?.saturating_sub(own).as_secs_f64() / time);
        self.gateway.push(gateway.cpu()?.saturating_sub(theirs).as_secs_f64() / time);
        let seen = flood.end()?;
        self.goodput.push(seen.in_time as f64 / plan.time.as_secs_f64());
        self.p99_ms.push(seen.accepted.value_at_quantile(0.99) as f64 / 1e3);
        self.refused.push(100.0 * seen.refused as f64 / seen.sent as f64);
        self.refusal_p99_ms.push(seen.refusals.value_at_quantile(0.99) as f64 / 1e3);
        self.without_retry += seen.without_retry;
        self.unsent += seen.unsent;
        self.unanswered += seen.unanswered;
        Ok(())
    }
}

fn judge(capacity: &Figure, all: &[Rounds; 4], table: &mut Table) {
    let who = "gateway, WAT module";
    let task = "1–2 ms of CPU";
    table.parts(
        "n",
        &format!("{task}, closed loop, {CONNECTIONS} connections"),
        who,
        &[("throughput", capacity, "/s")],
    );
    for ((_, name), rounds) in MULTIPLES.into_iter().zip(all) {
        let parts = [
            ("finished", &rounds.goodput, "/s"),
            ("refused", &rounds.refused, "%"),
            ("p99 of a refusal", &rounds.refusal_p99_ms, "ms"),
            ("cores of the generator", &rounds.generator, ""),
            ("of the gateway", &rounds.gateway, ""),
        ];
        let what = format!("{task}, {name}");
        table.parts("n", &what, who, &parts);
        table.judged(
            "n",
            &what,
            who,
            ("p99 of the finished", &rounds.p99_ms, "ms"),
            Bound::AtMost(QUEUE_WAIT_MS),
        );
    }
    let [one, two, five, ten] = all;
    let most = |other: &Figure, figure: &Figure| other.with(figure, f64::max);
    let peak = most(&most(&one.goodput, &two.goodput), &most(&five.goodput, &ten.goodput));
    let kept = ten.goodput.with(&peak, |ten, peak| ten / peak);
    table.ratio("n", "finished at 10 × / most finished at any", who, &kept, Bound::AtLeast(KEPT_LEAST));
    let silent: u64 = all.iter().map(|rounds| rounds.without_retry).sum();
    table.target("n", "refusals without Retry-After", who, silent.to_string(), "0", silent == 0);
    let unanswered: u64 = all.iter().map(|rounds| rounds.unanswered).sum();
    table.target("n", "requests without an answer", who, unanswered.to_string(), "0", unanswered == 0);
    let unsent: u64 = all.iter().map(|rounds| rounds.unsent).sum();
    if unsent > 0 {
        table.note(format!(
            "n: {unsent} requests found no free connection when they were due, and were not sent"
        ));
    }
}
