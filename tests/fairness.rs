//! Who gets the workers: sleepers overlap, short calls overtake, equal loops share.
//!
//! Policy itself is tested in the pool's crate with a fake clock; here it is seen from outside,
//! through HTTP and real guests. Where order is what counts, guests move the epoch themselves
//! through a host function of the test, and turns are counted. Where shares count, processor time
//! is compared with processor time. Wall clock only bounds what must be prompt, generously.

use crate::support::crowd::{Caller, Crowd, LOOPS, LOOPS_MANIFEST, median, timing};
use crate::support::{Gateway, PATIENCE, Server, client, eventually};
use gateway::runtime::ExtraImports;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const EPOCH: &str = include_str!("guests/epoch.wat");

fn with_workers(count: usize) -> Gateway {
    Gateway::new().set(move |config| config.workers = NonZeroUsize::new(count).unwrap())
}

fn loops(workers: usize) -> Server {
    with_workers(workers).wat("loops", LOOPS).manifest("loops", LOOPS_MANIFEST).start()
}

/// What the guests of `epoch.wat` share with their test.
#[derive(Default)]
struct Shared {
    /// Turns of `test.step`.
    steps: AtomicU64,
    /// A guest stands at the gate.
    waiting: AtomicBool,
    /// The gate is open.
    open: AtomicBool,
    /// Turns counted when `test.mark` was called, plus one.
    marked: AtomicU64,
}

impl Shared {
    fn imports(self: &Arc<Self>) -> ExtraImports {
        let (step, gate, mark) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        Box::new(move |linker| {
            let engine = linker.engine().clone();
            linker.func_wrap("test", "ring", move || engine.increment_epoch())?;
            linker.func_wrap("test", "step", move || {
                step.steps.fetch_add(1, SeqCst);
            })?;
            linker
                .func_wrap("test", "mark", move || mark.marked.store(mark.steps.load(SeqCst) + 1, SeqCst))?;
            // It holds its worker, as no host function of the gateway's own would.
            linker.func_wrap("test", "gate", move || {
                gate.waiting.store(true, SeqCst);
                let deadline = Instant::now() + PATIENCE;
                while !gate.open.load(SeqCst) && Instant::now() < deadline {
                    std::thread::yield_now();
                }
            })?;
            linker.func_wrap_async("test", "yield", |_, ()| Box::new(yielded()))?;
            Ok(())
        })
    }
}

/// Pending once, and ready to go on at once.
async fn yielded() {
    let mut once = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut once, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn epoch_guests(workers: usize) -> (Server, Arc<Shared>) {
    let shared = Arc::new(Shared::default());
    let gateway = with_workers(workers).wat("epoch", EPOCH).manifest("epoch", LOOPS_MANIFEST);
    (gateway.imports(shared.imports()).start(), shared)
}

#[tokio::test]
async fn five_sleepers_on_one_worker_overlap() {
    let server = with_workers(1).sample("sleep").start();
    let begin = Instant::now();
    let sleepers: Vec<Caller> = (0..5).map(|_| Caller::get(&server, "/sleep/0.5")).collect();
    for sleeper in sleepers {
        let answer = sleeper.answer();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Awake!"), "{answer}");
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_millis(1500), "one after the other takes 2.5 s, it took {took:?}");
}

/// Medians of `GET /` and of a short call, fifty of each in turn.
async fn promptness(server: &Server) -> (Duration, Duration) {
    let client = client();
    let (mut front, mut call) = (Vec::new(), Vec::new());
    for turn in 0..50 {
        let begin = Instant::now();
        server.send(client.get(server.url("/"))).await.ok();
        front.push(begin.elapsed());
        let begin = Instant::now();
        let reply = server.send(client.get(server.url(&format!("/tasks/loops/short?0={turn}")))).await;
        call.push(begin.elapsed());
        assert_eq!(reply.ok(), (turn + 1).to_string());
    }
    (median(front), median(call))
}

#[tokio::test]
async fn the_front_page_and_short_calls_answer_while_loops_saturate_every_worker() {
    let server = loops(2);
    for count in [32, 300] {
        let crowd = Crowd::sunk(&server, "/tasks/loops/endless", count);
        let (front, call) = promptness(&server).await;
        let stats = server.pool();
        assert!(
            stats.permits >= count && stats.idle_workers == 0,
            "the workers were not saturated: {stats:?}"
        );
        assert!(front < Duration::from_millis(20), "{count} loops: / took {front:?}");
        assert!(call < Duration::from_millis(20), "{count} loops: a short call took {call:?}");
        drop(crowd);
        eventually("the loops have ended", || server.pool().permits == 0);
    }
}

#[tokio::test]
async fn a_burst_of_new_loops_sinks_and_gives_way() {
    let server = loops(1);
    let before = server.pool();
    let crowd = Crowd::sunk(&server, "/tasks/loops/endless", 200);
    let stats = server.pool();
    let levels = stats.queued.len() as u64;
    // The one that runs may still be on its way down.
    assert!(stats.demotions - before.demotions >= 200 * (levels - 1) - levels, "{stats:?}");
    assert!(stats.queued.iter().rev().skip(1).sum::<usize>() <= 1, "{stats:?}");
    let (_, call) = promptness(&server).await;
    assert!(call < Duration::from_millis(20), "{call:?}");
    drop(crowd);
}

#[tokio::test]
async fn equal_loops_share_the_processor() {
    // All of them are stopped by the same deadline; what counts is the CPU time each had by then.
    let manifest = "[limits]\nwall = \"2s\"\ncpu = \"1m\"\n";
    let server = with_workers(1).wat("loops", LOOPS).manifest("loops", manifest).start();
    let alone = Crowd::alone();
    let start = Instant::now();
    let callers: Vec<Caller> = (0..5).map(|_| Caller::get(&server, "/tasks/loops/endless")).collect();
    eventually("all are in", || server.pool().permits == 5);
    // What the first had for itself until the last came is nobody's to give back.
    let head_start = start.elapsed().as_secs_f64() * 1e3;
    let cpu: Vec<f64> =
        callers.into_iter().map(|caller| timing(&caller.answer().to_lowercase(), "cpu")).collect();
    drop(alone);
    let mean = cpu.iter().sum::<f64>() / cpu.len() as f64;
    assert!(mean > 50.0, "the loops hardly ran: {cpu:?}");
    // Whoever was just served may be one quantum of the lowest level ahead.
    let allowed = mean * 0.1 + 9.0 + head_start;
    for one in &cpu {
        assert!(
            (one - mean).abs() < allowed,
            "milliseconds of CPU time: {cpu:?}, mean {mean}, the last came {head_start:.0} ms after the first"
        );
    }
}

#[tokio::test]
async fn one_call_of_a_task_computes_as_if_the_two_hundred_of_another_were_one() {
    let gateway = with_workers(2).wat("loops", LOOPS).manifest("loops", LOOPS_MANIFEST);
    let server = gateway.wat("single", LOOPS).manifest("single", LOOPS_MANIFEST).start();
    let crowd = Crowd::sunk(&server, "/tasks/loops/endless", 200);
    let before = server.pool().slices;
    let answer = Caller::get(&server, "/tasks/single/busy?0=200000000").answer();
    let slices = server.pool().slices - before;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    // Turns and not time, for which other load on the machine counts. Its own slices: one on each
    // level on its way down, where it gets 7 ms, then one for 8 ms.
    let cpu = timing(&answer.to_lowercase(), "cpu");
    assert!(cpu > 40.0, "{cpu} ms of CPU time");
    let own = 3.0 + (cpu - 7.0) / 8.0;
    // On two workers it takes as long as alone if every second slice is its own, and two and a half
    // times as long with five for each of them; it would be 200 if calls took turns, not tasks.
    assert!((slices as f64) < 5.0 * own, "{slices} slices for {own} of its own; {:?}", server.pool());
    drop(crowd);
}

#[tokio::test]
async fn tasks_share_the_processor_by_the_weight_in_their_manifests() {
    let manifest = |weight: u32| format!("[limits]\nwall = \"3s\"\ncpu = \"1m\"\nweight = {weight}\n");
    let gateway = with_workers(1).wat("light", LOOPS).manifest("light", &manifest(1));
    let server = gateway.wat("heavy", LOOPS).manifest("heavy", &manifest(3)).start();
    let reply = server.get("/tasks/heavy").await;
    assert_eq!(reply.json()["limits"]["weight"], 3);
    let alone = Crowd::alone();
    // The lighter one has more calls, which is to count for nothing.
    let call = |task: &str| Caller::get(&server, &format!("/tasks/{task}/endless"));
    let callers: [Vec<Caller>; 2] =
        [(0..20).map(|_| call("light")).collect(), (0..5).map(|_| call("heavy")).collect()];
    let [light, heavy] = callers.map(|callers| {
        let cpu = callers.into_iter().map(|caller| timing(&caller.answer().to_lowercase(), "cpu"));
        // On its way down to the lowest level each call gets 7 ms: there the number of calls counts.
        cpu.map(|ms| ms - 7.0).sum::<f64>()
    });
    drop(alone);
    assert!(light > 100.0, "the loops hardly ran: {light} and {heavy} ms of CPU time");
    assert!((2.0..4.0).contains(&(heavy / light)), "{light} and {heavy} ms of CPU time");
}

#[tokio::test]
async fn a_guest_gives_way_at_its_next_check_of_the_epoch() {
    let (server, shared) = epoch_guests(1);
    // 20 million steps are several milliseconds: beyond the first quantum, so below level 0.
    let long = Caller::get(&server, "/tasks/epoch/gated?0=20000000");
    eventually("the long run stands at the gate", || shared.waiting.load(SeqCst));
    let short = Caller::get(&server, "/tasks/epoch/mark");
    eventually("the short run waits", || server.pool().queued[0] == 1);
    shared.open.store(true, SeqCst);
    assert!(short.answer().starts_with("HTTP/1.1 204"));
    // The long run rang the epoch, entered its loop, and got no further than its first checks.
    let turns = shared.marked.load(SeqCst) - 1;
    assert!(turns <= 1, "it took {turns} turns before it gave way");
    eventually("the long run goes on", || shared.steps.load(SeqCst) > turns + 1_000);
    drop(long);
}

#[tokio::test]
async fn ringing_the_epoch_costs_a_run_no_turn() {
    let (server, _) = epoch_guests(1);
    server.post("/tasks/epoch/ring", "[1]").await.ok();
    let before = server.pool();
    server.post("/tasks/epoch/ring", "[500]").await.ok();
    let after = server.pool();
    // One slice, and a few more if the machine was slow; one per ring if the epoch were the quantum.
    assert!(after.slices - before.slices <= 10, "{before:?} {after:?}");
    assert_eq!(after.preemptions, before.preemptions, "{after:?}");
}

#[tokio::test]
async fn a_run_that_yields_by_itself_preempts_nobody() {
    let (server, shared) = epoch_guests(2);
    let crowd = Crowd::alone();
    let busy = Caller::get(&server, "/tasks/epoch/gated?0=50000000");
    shared.open.store(true, SeqCst);
    eventually("the loop counts", || shared.waiting.load(SeqCst) && shared.steps.load(SeqCst) > 0);
    let yielder = Caller::get(&server, "/tasks/epoch/yielder");
    eventually("both run", || server.pool().running == 2);
    let before = server.pool();
    eventually("many yields", || server.pool().slices > before.slices + 20_000);
    let after = server.pool();
    let yields = after.slices - before.slices;
    // A tick that falls into the moment between a yield and the next slice finds something better waiting
    // and gives way to it, as it should: a few a second. A yield that preempted by itself would do it each time.
    let preemptions = after.preemptions - before.preemptions;
    assert!(preemptions * 100 < yields, "{preemptions} preemptions by {yields} yields");
    drop((yielder, busy, crowd));
    eventually("both have ended", || server.pool().permits == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_keeps_its_share_under_a_stream_of_short_calls() {
    let server = Arc::new(loops(1));
    let alone = Crowd::alone();
    let stop = Arc::new(AtomicBool::new(false));
    let short_us = Arc::new(AtomicU64::new(0));
    // Each is about half a quantum, eight are on their way at any time: level 0 is never empty.
    let stream: Vec<_> = (0..8)
        .map(|_| {
            let (server, stop, short_us) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&short_us));
            tokio::spawn(async move {
                let client = client();
                while !stop.load(SeqCst) {
                    let reply = server.send(client.get(server.url("/tasks/loops/busy?0=500000"))).await;
                    let cpu = timing(reply.header("server-timing").unwrap(), "cpu");
                    short_us.fetch_add((cpu * 1000.0) as u64, SeqCst);
                    reply.ok();
                }
            })
        })
        .collect();
    let flowing = Arc::clone(&short_us);
    tokio::task::spawn_blocking(move || eventually("the stream flows", || flowing.load(SeqCst) > 10_000))
        .await
        .unwrap();
    let begin_us = short_us.load(SeqCst);
    let reply = server.get("/tasks/loops/busy?0=200000000").await;
    let others_ms = (short_us.load(SeqCst) - begin_us) as f64 / 1000.0;
    stop.store(true, SeqCst);
    for one in stream {
        one.await.unwrap();
    }
    drop(alone);
    let own_ms = timing(reply.header("server-timing").unwrap(), "cpu");
    reply.ok();
    // One part in eight is guaranteed. What arrives is less than what fits, now and then, and
    // then the long run gets more; but the short ones go first.
    let share = own_ms / (own_ms + others_ms);
    assert!(share > 0.1, "{own_ms} ms of its own, {others_ms} ms of the stream: {share}");
    assert!(share < 0.6, "{own_ms} ms of its own, {others_ms} ms of the stream: {share}");
}
