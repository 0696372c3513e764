//! Row m: a call without HTTP, after and before the work on its cost; and a guest that others built,
//! whose heap grows in each call, beside the same one linked with enough memory.
//!
//! The calls without HTTP are made by `children/cost.rs`; nothing here knows an engine.

use crate::children::contender::{self, Contender};
use crate::figure::Figure;
use crate::folder::{Folder, root};
use crate::load::closed;
use crate::load::connection::Connection;
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::Duration;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);

/// The guest linked like every task, and as compilers do it by themselves.
const ENOUGH: &str = "add-std";
const GROWS: &str = "add-grows";

/// What both are asked: to take 256 KiB of heap, counted in units of 4 KiB.
const HEAP: &str = "heap?kib=256";
const HEAP_ANSWER: &[u8] = b"64";

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let module = |name: &str| root().join("bench").join(format!("{name}.wasm"));
    let told = contender::cost(&module(ENOUGH), &module(GROWS), scale.cost_rounds)?;
    let [before, after]: [Vec<f64>; 2] = serde_json::from_value(told).context("an incomplete result")?;
    let (before, after) = (Figure::from(before), Figure::from(after));
    const WHAT: &str = "instantiate, call, drop a Rust component";
    table.parts("m", WHAT, "engine and guest before", &[("time", &before, "µs")]);
    table.parts("m", WHAT, "engine and guest of the gateway", &[("time", &after, "µs")]);
    let ratio = after.with(&before, |after, before| after / before);
    table.ratio("m", WHAT, "after / before", &ratio, Bound::AtMost(0.6));
    heap(scale, table)
}

fn heap(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.guest_of_bench(GROWS)?;
    let gateway = Contender::gateway(folder.path())?;
    let mut entries = [ENOUGH, GROWS].map(|name| (format!("/tasks/{name}/{HEAP}"), Figure::default()));
    for (target, _) in &entries {
        let answer = Connection::open(gateway.address)?.ask(target)?;
        if answer.status != 200 || answer.body != HEAP_ANSWER {
            bail!("{target}: {} {:?}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        closed::drive(gateway.address, gateway.process(), target, CONNECTIONS, WARM_UP)?;
    }
    for _ in 0..scale.rounds {
        for (target, rate) in &mut entries {
            let turn = closed::drive(gateway.address, gateway.process(), target, CONNECTIONS, scale.closed)?;
            rate.push(turn.rate);
        }
    }
    const WHAT: &str = "256 KiB of heap in each call, 64 connections";
    let [(_, enough), (_, grows)] = &entries;
    table.parts("m", WHAT, "linked with 2 MiB", &[("throughput", enough, "/s")]);
    table.parts("m", WHAT, "linked as compilers do, grows", &[("throughput", grows, "/s")]);
    let ratio = grows.with(enough, |grows, enough| grows / enough);
    table.ratio("m", WHAT, "grows / linked with 2 MiB", &ratio, Bound::AtLeast(0.7));
    Ok(())
}
