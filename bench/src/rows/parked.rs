//! Row c: thousands of calls that sleep: how long past their sleep, what memory, what threads.
//!
//! Over HTTP beside native handlers, where the time includes 5,000 new connections and the memory
//! their buffers; and in process, without HTTP. Memory is the growth of the process's PSS while all
//! calls sleep, divided by their number.

use crate::children::Mode;
use crate::children::contender::{self, Contender};
use crate::figure::Figure;
use crate::folder::Folder;
use crate::load::connection::{get, parse};
use crate::scale::Scale;
use crate::table::Table;
use anyhow::{Context as _, bail};
use gateway::runtime::engine::Runs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

const CALLS: usize = 5_000;
const SECONDS: u64 = 4;

/// When every call must have its answer.
const LIMIT: Duration = Duration::from_millis(6_500);

const IN_PROCESS: usize = 10_000;

/// What a parked call may cost in process.
const IN_PROCESS_KIB: f64 = 80.0;

/// Connections that are opened at once: more overflow a listener's backlog.
const OPENING_MAX: usize = 256;

/// Memory is read when all calls are asleep, or else at this time, shortly before the first wakes up.
const READING: Duration = Duration::from_millis(3_800);

/// Time for connections to fall silent before memory is read.
const SETTLING: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Rounds {
    seconds: Figure,
    answered: Figure,
    asleep: Figure,
    kib: Figure,
    threads: Figure,
}

struct Subject {
    name: &'static str,
    target: &'static str,
    start: fn(&Folder) -> anyhow::Result<Contender>,
    rounds: Rounds,
}

/// Measures and judges.
pub fn run(scale: &Scale, table: &mut Table) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let mut subjects = [
        Subject {
            name: "native axum, tokio::time::sleep",
            target: "/sleep?seconds=4",
            start: |_| Contender::native(Mode::Inline),
            rounds: Rounds::default(),
        },
        Subject {
            name: "native axum, spawn_blocking",
            target: "/sleep?seconds=4",
            start: |_| Contender::native(Mode::Blocking),
            rounds: Rounds::default(),
        },
        Subject {
            name: "gateway, Rust sleep task",
            target: "/sleep/4",
            start: |folder| Contender::gateway(folder.path()),
            rounds: Rounds::default(),
        },
    ];
    let runs = Runs::for_this_machine(0);
    let count = IN_PROCESS.min(runs.count);
    let mut inside = Rounds::default();
    for _ in 0..scale.parked_rounds {
        for subject in &mut subjects {
            over_http(subject, &folder).with_context(|| subject.name)?;
        }
        let told = contender::parked(folder.path(), count, SECONDS)?;
        let number =
            |name: &str| told.get(name).and_then(serde_json::Value::as_f64).context("an incomplete result");
        inside.seconds.push(number("seconds_over")?);
        inside.asleep.push(number("seconds_asleep")?);
        inside.kib.push(number("kib_each")?);
        inside.threads.push(number("threads")? - number("threads_before")?);
    }
    judge(&subjects, &inside, count, table);
    table.note(format!("Row c: {}", runs.formula()));
    Ok(())
}

/// One round of one contender.
fn over_http(subject: &mut Subject, folder: &Folder) -> anyhow::Result<()> {
    let mut contender = (subject.start)(folder)?;
    let (address, process) = (contender.address, contender.process());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // What is made once for the first calls is not counted to the others.
    let warm = subject.target.replace('4', "0");
    tokio.block_on(calls(address, &warm, 64, LIMIT))?;
    std::thread::sleep(SETTLING);
    let (memory_before, threads_before) = (process.memory_kib()?, process.threads()?);
    let start = Instant::now();
    let (answered, watched) = std::thread::scope(|scope| {
        // Borrowed: a contender that is dropped is gone.
        let watch = scope.spawn(|| watch(&mut contender, start + READING));
        let answered = tokio.block_on(calls(address, subject.target, CALLS, LIMIT));
        (answered, watch.join())
    });
    let rounds = &mut subject.rounds;
    rounds.seconds.push(start.elapsed().as_secs_f64());
    rounds.answered.push(answered? as f64);
    let Ok(watched) = watched else { bail!("the watching thread panicked") };
    let (asleep, memory, threads) = watched?;
    rounds.asleep.push(asleep as f64);
    let each = memory.saturating_sub(memory_before) as f64 / CALLS as f64;
    // Of fewer calls the memory is not asked for.
    rounds.kib.push(if asleep == CALLS as u64 { each } else { f64::NAN });
    rounds.threads.push(threads as f64 - threads_before as f64);
    Ok(())
}

/// Calls asleep, memory and threads once all are asleep, or at `deadline`.
fn watch(contender: &mut Contender, deadline: Instant) -> anyhow::Result<(u64, u64, u64)> {
    let mut asleep = 0;
    while asleep < CALLS as u64 && Instant::now() < deadline {
        std::thread::sleep(SETTLING);
        asleep = contender.number("asleep")?;
    }
    let process = contender.process();
    Ok((asleep, process.memory_kib()?, process.threads()?))
}

/// Makes calls all at once; how many were answered in time.
pub async fn calls(
    address: SocketAddr,
    target: &str,
    count: usize,
    limit: Duration,
) -> anyhow::Result<usize> {
    let request: Arc<[u8]> = get(target).into();
    let opening = Arc::new(Semaphore::new(OPENING_MAX));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..count {
        calls.spawn(call(address, Arc::clone(&request), Arc::clone(&opening)));
    }
    let deadline = tokio::time::Instant::now() + limit;
    let mut answered = 0;
    while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, calls.join_next()).await {
        ended.context("a call panicked")??;
        answered += 1;
    }
    Ok(answered)
}

async fn call(address: SocketAddr, request: Arc<[u8]>, opening: Arc<Semaphore>) -> anyhow::Result<()> {
    let mut stream = {
        let _turn = opening.acquire().await?;
        tokio::net::TcpStream::connect(address).await.context("connecting")?
    };
    stream.write_all(&request).await.context("sending")?;
    let mut bytes = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut bytes).await.context("reading")? == 0 {
            bail!("a connection was closed before its answer");
        }
        if let Some((answer, _)) = parse(&bytes)? {
            if answer.status != 200 || !answer.body.starts_with(b"Awake! ") {
                bail!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
            return Ok(());
        }
    }
}

fn judge(subjects: &[Subject; 3], inside: &Rounds, count: usize, table: &mut Table) {
    let [.., ours] = subjects;
    for subject in subjects {
        let Rounds { seconds, answered, asleep, kib, threads } = &subject.rounds;
        let what = "5,000 sleeps of 4 s over HTTP";
        let all = answered.least() >= CALLS as f64;
        let time = if all {
            format!("all answered in {}", seconds.show("s"))
        } else {
            let (answered, asleep) = (answered.show("calls"), asleep.show("asleep at once"));
            format!("{answered} answered in {}, {asleep}", seconds.show("s"))
        };
        let parts = [("time", seconds, "s"), ("memory of each", kib, "KiB"), ("more threads", threads, "")];
        table.raw("c", what, subject.name, &parts);
        let (memory, extra) = (kib.show("KiB each"), threads.show("more threads"));
        if subject.name != ours.name {
            table.line("c", what, subject.name, format!("{time}, {memory}, {extra}"));
            continue;
        }
        let met = all && seconds.most() <= LIMIT.as_secs_f64();
        table.target("c", what, subject.name, time, "all within 6.5 s", met);
        let met = asleep.least() >= CALLS as f64 && kib.median() <= 160.0;
        table.target("c", "memory of each, with its connection", subject.name, memory, "≤ 160 KiB", met);
        table.target("c", "threads meanwhile", subject.name, extra, "none", threads.most() <= 0.0);
    }
    let who = "gateway, Rust sleep task";
    let what = format!("{} sleeps of 4 s in process", crate::figure::number(count as f64));
    let (over, kib, threads) = (&inside.seconds, &inside.kib, &inside.threads);
    let enough = count == IN_PROCESS;
    table.target("c", &what, who, over.show("s over"), "10,000 ≤ 1.5 s over", enough && over.median() <= 1.5);
    table.raw("c", &what, who, &[("time over", over, "s")]);
    table.parts("c", "until all were asleep", who, &[("time", &inside.asleep, "s")]);
    let least = kib.median() <= IN_PROCESS_KIB;
    table.target("c", "memory of each", who, kib.show("KiB"), "of 10,000 ≤ 80 KiB", enough && least);
    table.target("c", "threads meanwhile", who, threads.show("more threads"), "none", threads.most() <= 0.0);
    table.raw("c", &what, who, &[("memory of each", kib, "KiB"), ("more threads", threads, "")]);
}
