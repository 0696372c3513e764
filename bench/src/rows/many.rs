//! Row l: what grows, and what does not: with many tasks, many parked calls, after many calls, with
//! another worker.
//!
//! Cost is the CPU time of the gateway's process per call, with 64 connections; memory is PSS.

use super::parked;
use super::start::{MODULES, unlike};
use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::{Folder, root};
use crate::load::closed;
use crate::load::connection::{Connection, get};
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;
const ADD: &str = "/tasks/add/add?a=1&b=2";
const WARM_UP: Duration = Duration::from_secs(1);

/// Calls that sleep meanwhile.
const PARKED: usize = 5_000;

/// How long they may take to fall asleep.
const PARKING_MAX: Duration = Duration::from_secs(20);

/// Calls of the burst. They sleep, so that as many as there is room for are there at once.
const BURST: usize = 10_000;

/// Time for compiled code to be written to the cache.
const WRITING: Duration = Duration::from_secs(1);

/// Until the burst's memory is given back.
const SETTLING: Duration = Duration::from_secs(3);

/// Copies of a component that are loaded to see what one costs.
const COMPONENTS: usize = 20;

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    tasks(scale, table).context("with 1,000 tasks")?;
    parked_calls(scale, table).context("with parked calls")?;
    burst(table).context("the burst")?;
    workers(scale, table).context("workers")
}

/// A gateway with one task and one with 1,000: what a call costs, and what a task does.
fn tasks(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let (small, large, components) = (Folder::one()?, Folder::new()?, Folder::one()?);
    large.fill(MODULES)?;
    let path = root().join("tasks/echo.wasm");
    let module = std::fs::read(&path).context("tasks/echo.wasm is not built; run bench/build.sh")?;
    for index in 0..COMPONENTS {
        let name = components.tasks().join(format!("echo-{index}.wasm"));
        std::fs::write(name, unlike(&module, index)).context("writing a component")?;
    }
    // What the compiler took would be counted as well: the caches are filled first.
    for folder in [&small, &large, &components] {
        let _compiling = Contender::gateway(folder.path())?;
        std::thread::sleep(WRITING);
    }
    let (few, many) = (Contender::gateway(small.path())?, Contender::gateway(large.path())?);
    let others = Contender::gateway(components.path())?;
    std::thread::sleep(WARM_UP);
    let memory = |contender: &Contender| Ok::<_, anyhow::Error>(contender.process().memory_kib()? as f64);
    let (base, loaded, compiled) = (memory(&few)?, memory(&many)?, memory(&others)?);
    for index in 4..MODULES {
        let target = format!("/tasks/filler-{index}/get");
        if Connection::open(many.address)?.ask(&target)?.status != 200 {
            bail!("{target} does not answer");
        }
    }
    let called = memory(&many)?;
    let count = MODULES as f64 - 1.0;
    let component = format!("a loaded Rust component of {} KB", module.len() / 1_000);
    let each = [
        ("a loaded small module", (loaded - base) / count),
        ("the same once it was called", (called - base) / count),
        (component.as_str(), (compiled - base) / COMPONENTS as f64),
    ];
    for (what, kib) in each {
        table.parts("l", what, "gateway", &[("memory", &Figure::of(kib), "KiB")]);
    }
    let [one, thousand] = turns(scale, [&few, &many])?;
    table.parts("l", "trivial call, 64 connections", "gateway, 1 task", &[("CPU a call", &one, "µs")]);
    let parts = [("CPU a call", &thousand, "µs")];
    table.parts("l", "trivial call, 64 connections", "gateway, 1,000 tasks", &parts);
    let ratio = thousand.with(&one, |many, one| many / one);
    table.ratio("l", "cost per call", "1,000 tasks / 1 task", &ratio, Bound::AtMost(1.1));
    Ok(())
}

/// The cost of a call on each of two gateways, in turns.
fn turns(scale: &Scale, contenders: [&Contender; 2]) -> anyhow::Result<[Figure; 2]> {
    let mut figures = [Figure::default(), Figure::default()];
    let turn = |contender: &Contender, time| {
        closed::drive(contender.address, contender.process(), ADD, CONNECTIONS, time)
    };
    for contender in contenders {
        turn(contender, WARM_UP)?;
    }
    for _ in 0..scale.growth_rounds {
        for (contender, figure) in contenders.iter().zip(&mut figures) {
            figure.push(turn(contender, scale.closed)?.cpu_us);
        }
    }
    Ok(figures)
}

fn parked_calls(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let (empty, mut full) = (Contender::gateway(folder.path())?, Contender::gateway(folder.path())?);
    let sleeping = get("/sleep/600");
    let mut asleep = Vec::with_capacity(PARKED);
    for _ in 0..PARKED {
        let mut connection = Connection::open(full.address)?;
        connection.send(&sleeping)?;
        asleep.push(connection);
    }
    if !full.reaches("asleep", PARKED as u64, PARKING_MAX)? {
        bail!("{} of {PARKED} calls are asleep after {PARKING_MAX:?}", full.number("asleep")?);
    }
    let [zero, parked] = turns(scale, [&empty, &full])?;
    let parts = [("CPU a call", &parked, "µs")];
    table.parts("l", "trivial call, 64 connections", "gateway, 5,000 parked", &parts);
    let ratio = parked.with(&zero, |parked, zero| parked / zero);
    table.ratio("l", "cost per call", "5,000 parked / 0 parked", &ratio, Bound::AtMost(1.3));
    Ok(())
}

/// What is left of a burst's memory.
fn burst(table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let mut gateway = Contender::gateway(folder.path())?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = Duration::from_secs(60);
    let (address, process) = (gateway.address, gateway.process());
    tokio.block_on(parked::calls(address, "/sleep/0", CONNECTIONS, limit))?;
    std::thread::sleep(WARM_UP);
    let before = process.memory_kib()? as f64;
    let mut most = before;
    let answered = std::thread::scope(|scope| {
        let calls = scope.spawn(|| tokio.block_on(parked::calls(address, "/sleep/4", BURST, limit)));
        while !calls.is_finished() {
            most = most.max(process.memory_kib().unwrap_or_default() as f64);
            std::thread::sleep(Duration::from_millis(200));
        }
        calls.join()
    });
    let Ok(answered) = answered else { bail!("the load generator panicked") };
    if answered? < BURST {
        bail!("not all of {BURST} calls were answered within {limit:?}");
    }
    if !gateway.reaches("in_flight", 0, PARKING_MAX)? {
        bail!("{} runs are left after the burst", gateway.number("in_flight")?);
    }
    let start = Instant::now();
    let mut after = process.memory_kib()? as f64;
    // Until it is given back, but not for ever.
    while after > before * 1.2 && start.elapsed() < SETTLING {
        std::thread::sleep(Duration::from_millis(100));
        after = process.memory_kib()? as f64;
    }
    let mib = |kib: f64| Figure::of(kib / 1024.0);
    let parts = [("before", &mib(before), "MiB"), ("most", &mib(most), "MiB"), ("after", &mib(after), "MiB")];
    table.parts("l", "memory around a burst of 10,000 sleeps", "gateway", &parts);
    let ratio = Figure::of(after / before);
    table.ratio("l", "memory 3 s after a burst of 10,000", "after / before", &ratio, Bound::AtMost(1.2));
    Ok(())
}

/// Throughput of a guest that computes, with one worker and with two.
fn workers(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().context("the number of cores")?.get();
    if cores < 2 {
        table.line("l", "primes below 1,000,000", "2 workers / 1 worker", format!("missing: {cores} core"));
        return Ok(());
    }
    let folder = Folder::empty()?;
    folder.sample("primes.wat")?;
    folder.sample("primes.toml")?;
    let start = |count| Contender::gateway_with(folder.path(), &["--workers", count]);
    let contenders = [("1 worker", start("1")?), ("2 workers", start("2")?)];
    let target = "/tasks/primes/count?n=10000000";
    let mut figures = [Figure::default(), Figure::default()];
    for _ in 0..scale.growth_rounds {
        for ((_, contender), figure) in contenders.iter().zip(&mut figures) {
            let turn = closed::drive(contender.address, contender.process(), target, 4, scale.closed)?;
            figure.push(turn.rate);
        }
    }
    let what = "primes below 10,000,000, 4 connections";
    for ((name, _), figure) in contenders.iter().zip(&figures) {
        table.parts("l", what, &format!("gateway, {name}"), &[("throughput", figure, "/s")]);
    }
    let [one, two] = &figures;
    let ratio = two.with(one, |two, one| two / one);
    table.ratio("l", what, "2 workers / 1 worker", &ratio, Bound::AtLeast(1.85));
    Ok(())
}
