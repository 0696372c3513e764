//! Row k: from the start to ready, with a warm compile cache; and from `cp` to the first answer.
//!
//! A start is that of a process: from its creation until its tasks are loaded. The modules are small
//! and all different. The file that is copied is new to the cache each time.

use crate::children::contender::Contender;
use crate::figure::Figure;
use crate::folder::{Folder, root};
use crate::load::connection::{Connection, post};
use crate::scale::Scale;
use crate::table::{Bound, Table};
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

/// How many modules a large folder has.
pub const MODULES: usize = 1_000;

/// How many a very large one has.
const MODULES_MANY: usize = 10_000;

/// Time for compiled code to be written to the cache.
const SETTLING: Duration = Duration::from_secs(1);

/// Time between two looks for a new task.
const LOOK: Duration = Duration::from_millis(2);

/// Longest wait for a new task.
const NEW_MAX: Duration = Duration::from_secs(30);

/// A hash that takes no time worth mentioning.
const CHEAPEST: &[u8] =
    br#"{"password": "horse", "cost": {"memory-kib": 8, "iterations": 1, "parallelism": 1}}"#;

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let small = Folder::one()?;
    let large = Folder::new()?;
    large.fill(MODULES)?;
    let cold = [start_small(&small, SETTLING)?, start_large(&large, MODULES, SETTLING)?];
    let (mut one, mut many) = (Figure::default(), Figure::default());
    for _ in 0..scale.starts {
        one.push(start_small(&small, Duration::ZERO)?);
        many.push(start_large(&large, MODULES, Duration::ZERO)?);
    }
    let [cold_one, cold_many] = cold.map(Figure::of);
    let who = "gateway";
    table.parts("k", "start to ready, 1 module, nothing cached", who, &[("time", &cold_one, "ms")]);
    table.judged("k", "start to ready, 1 module, cached", who, ("time", &one, "ms"), Bound::AtMost(60.0));
    table.parts("k", "start to ready, 1,000 modules, nothing cached", who, &[("time", &cold_many, "ms")]);
    let what = "start to ready, 1,000 modules, cached";
    table.judged("k", what, who, ("time", &many, "ms"), Bound::AtMost(2_000.0));
    very_many(scale, table)?;
    drop_in(scale, table)
}

/// Without a bound: as many modules as nobody has been seen to have.
fn very_many(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    folder.fill(MODULES_MANY)?;
    let cold = Figure::of(start_large(&folder, MODULES_MANY, SETTLING)?);
    let mut warm = Figure::default();
    for _ in 0..scale.starts {
        warm.push(start_large(&folder, MODULES_MANY, Duration::ZERO)?);
    }
    let who = "gateway";
    table.parts("k", "start to ready, 10,000 modules, nothing cached", who, &[("time", &cold, "ms")]);
    table.parts("k", "start to ready, 10,000 modules, cached", who, &[("time", &warm, "ms")]);
    Ok(())
}

fn start_small(folder: &Folder, settling: Duration) -> anyhow::Result<f64> {
    start(folder, "/tasks/add/add?a=1&b=2", "3", settling)
}

fn start_large(folder: &Folder, modules: usize, settling: Duration) -> anyhow::Result<f64> {
    let last = modules - 1;
    start(folder, &format!("/tasks/filler-{last}/get"), &last.to_string(), settling)
}

/// Starts a gateway, checks that it has loaded the task asked for, and ends it; ms to ready.
fn start(folder: &Folder, target: &str, expected: &str, settling: Duration) -> anyhow::Result<f64> {
    let start = Instant::now();
    let gateway = Contender::gateway(folder.path())?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    let answer = Connection::open(gateway.address)?.ask(target)?;
    if answer.body != expected.as_bytes() {
        bail!("{target}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    std::thread::sleep(settling);
    Ok(time)
}

/// Copies a Rust component that the cache does not know into the folder, and calls it.
fn drop_in(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let gateway = Contender::gateway(folder.path())?;
    let mut connection = Connection::open(gateway.address)?;
    let file = root().join("tasks/password.wasm");
    let module = std::fs::read(&file).context("tasks/password.wasm is not built; run bench/build.sh")?;
    let mut times = Figure::default();
    for index in 0..scale.drop_rounds + 2 {
        let new = folder.path().join("new.wasm");
        std::fs::write(&new, unlike(&module, index)).context("writing a new module")?;
        let name = format!("new-{index}");
        let request = post(&format!("/tasks/{name}/hash"), "application/json", CHEAPEST);
        let start = Instant::now();
        std::fs::copy(&new, folder.tasks().join(format!("{name}.wasm"))).context("copying a module")?;
        let (time, answer) = connection.until_ok(&request, start, LOOK, NEW_MAX)?;
        if !answer.body.starts_with(b"$argon2id$") {
            bail!("the hash is {:?}", String::from_utf8_lossy(&answer.body));
        }
        times.push(time.as_secs_f64() * 1e3);
    }
    let what = format!("cp of a new Rust component of {} KB to its first answer", module.len() / 1_000);
    table.judged("k", &what, "gateway", ("time", &times, "ms"), Bound::AtMost(500.0));
    Ok(())
}

/// The same module with a custom section more, which makes it another file to the cache.
pub fn unlike(module: &[u8], index: usize) -> Vec<u8> {
    // Section 0, its length, its name's length, its name, what it holds.
    let content = [b"\x05bench".as_slice(), &(index as u64).to_le_bytes()].concat();
    [module, &[0, content.len() as u8], &content].concat()
}
