//! Scheduling alone, by criterion: operations per second with few and many runs waiting.
//!
//! `just bench-pool`. Each measurement names the operation, the workers and the runs that wait; an
//! *operation* is what one run costs the pool: admission, queue, a worker, its end. The runs work on
//! each other (each submits, wakes or makes room for the next one), so that no other thread sets the
//! pace, and all of them have deadlines, as the gateway's have. Must not know the pool's inside.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark stops when something is wrong")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Config, Pool, Run, Share, ShareLimits, Ticket, Verdict};

/// Workers, and queues that they share.
const LAYOUTS: [(usize, usize); 5] = [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2)];
const WAITING: [usize; 6] = [1, 10, 100, 1000, 10_000, 100_000];

/// Far enough that none is reached.
const FAR: Duration = Duration::from_secs(3600);

/// Loops have to sink a level before an arrival may preempt them: 100,000 of them in a second or two.
const SHORT_QUANTUM: Duration = Duration::from_micros(10);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Wakes itself and is pending once.
fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// A pool, the operations counted in it, and the thread that waits for so many of them.
struct Rig {
    pool: Pool,
    share: Share,
    epoch: Arc<AtomicU64>,
    /// Operations until the driver is to be called; below zero nobody waits for them.
    left: AtomicI64,
    end: Mutex<Option<Instant>>,
    driver: OnceLock<Thread>,
    quit: AtomicBool,
}

impl Rig {
    fn new((workers, queues): (usize, usize), quantum: Option<Duration>) -> Arc<Self> {
        let default = Config::default();
        let config = Config {
            workers: NonZeroUsize::new(workers).unwrap(),
            workers_per_queue: NonZeroUsize::new(workers / queues).unwrap(),
            quantum: quantum.unwrap_or(default.quantum),
            levels: if quantum.is_some() { 2 } else { default.levels },
            max_runs: usize::MAX,
            nice: 0,
            ..default
        };
        let epoch = Arc::new(AtomicU64::new(0));
        let bumped = Arc::clone(&epoch);
        let interrupt = Arc::new(move || {
            bumped.fetch_add(1, Ordering::Relaxed);
        });
        let pool = Pool::new(config, interrupt, Arc::new(|life: &mut dyn FnMut()| life())).unwrap();
        let share = pool.share(ShareLimits { concurrency: usize::MAX, queue: 0, weight: 1 });
        Arc::new(Self {
            pool,
            share,
            epoch,
            left: AtomicI64::new(-1),
            end: Mutex::new(None),
            driver: OnceLock::new(),
            quit: AtomicBool::new(false),
        })
    }

    fn submit<F, Fut>(&self, start: F) -> Ticket<()>
    where
        F: FnOnce(Run) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let permit = self.share.try_enter().unwrap();
        let budget = Budget { queue_until: Some(Instant::now() + FAR), wall: FAR, cpu: FAR };
        self.pool.submit(permit, budget, start)
    }

    /// One operation is done. `false`: it was the benchmark's last.
    fn count(&self) -> bool {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.end.lock().unwrap() = Some(Instant::now());
            self.driver.get().unwrap().unpark();
        }
        !self.quit.load(Ordering::Relaxed)
    }

    /// How long so many operations of the runs that are there take.
    fn time(&self, operations: u64) -> Duration {
        self.driver.get_or_init(thread::current);
        let start = Instant::now();
        self.left.store(i64::try_from(operations).unwrap(), Ordering::Relaxed);
        loop {
            thread::park();
            if let Some(end) = self.end.lock().unwrap().take() {
                return end - start;
            }
        }
    }

    fn quit(&self) {
        self.quit.store(true, Ordering::Relaxed);
    }
}

/// A chain of runs: each submits the next one. The tickets of the last two are kept, since a ticket
/// that is dropped before its run ends cancels it.
type Chain = Arc<Mutex<[Option<Ticket<()>>; 2]>>;

fn link(rig: &Arc<Rig>, chain: Chain) {
    let (next, kept) = (Arc::clone(rig), Arc::clone(&chain));
    // Locked before the next run may be ahead of this one.
    let mut tickets = chain.lock().unwrap();
    let ticket = rig.submit(move |_| async move {
        if next.count() {
            link(&next, kept);
        }
    });
    tickets.swap(0, 1);
    let old = tickets[1].replace(ticket);
    drop(tickets);
    drop(old);
}

/// Submit, one slice, end: as many chains as runs wait.
fn submit_run_retire(rig: &Arc<Rig>, waiting: usize) -> Vec<Chain> {
    let chains: Vec<Chain> = (0..waiting).map(|_| Chain::default()).collect();
    for chain in &chains {
        link(rig, Arc::clone(chain));
    }
    chains
}

/// The end of a slice and the start of the next one.
fn yields(rig: &Arc<Rig>, waiting: usize) -> Vec<Ticket<()>> {
    let run = || {
        let rig = Arc::clone(rig);
        async move {
            while rig.count() {
                yield_now().await;
            }
        }
    };
    (0..waiting).map(|_| run()).map(|run| rig.submit(|_| run)).collect()
}

/// A place in the ring of parked runs.
#[derive(Default)]
struct Seat {
    called: AtomicBool,
    waker: OnceLock<Waker>,
}

impl Seat {
    fn call(&self) {
        self.called.store(true, Ordering::Release);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    async fn called(&self) {
        poll_fn(|cx| {
            self.waker.get_or_init(|| cx.waker().clone());
            if self.called.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// A wake from outside, a slice and being parked again: each of the parked runs calls the one that
/// sits opposite; one call is under way per worker.
fn park_wake(rig: &Arc<Rig>, waiting: usize, workers: usize) -> Vec<Ticket<()>> {
    let seats: Arc<Vec<Seat>> = Arc::new((0..waiting + workers).map(|_| Seat::default()).collect());
    let run = |rig: Arc<Rig>, seats: Arc<Vec<Seat>>, index: usize, stride: usize| async move {
        loop {
            seats[index].called().await;
            if !rig.count() {
                return;
            }
            seats[(index + stride) % seats.len()].call();
        }
    };
    let tickets = (0..seats.len())
        .map(|index| {
            rig.submit({
                let (rig, seats) = (Arc::clone(rig), Arc::clone(&seats));
                move |_| run(rig, seats, index, workers)
            })
        })
        .collect();
    while rig.pool.stats().parked < seats.len() {
        thread::sleep(Duration::from_millis(1));
    }
    for seat in &seats[..workers] {
        seat.call();
    }
    tickets
}

/// A loop that gives way when it is told to; looks at the epoch as compiled code would.
async fn endless(rig: Arc<Rig>, run: Run) {
    // It sinks without waiting for a tick.
    while run.cpu_used() < 2 * SHORT_QUANTUM {}
    yield_now().await;
    let mut seen = rig.epoch.load(Ordering::Relaxed);
    loop {
        let now = rig.epoch.load(Ordering::Relaxed);
        if now == seen {
            black_box(seen);
            continue;
        }
        seen = now;
        match run.verdict() {
            Verdict::Continue => {}
            Verdict::Yield => yield_now().await,
            Verdict::Stop(_) => return,
        }
    }
}

/// Loops that have all sunk, so that an arrival preempts one.
fn loops(rig: &Arc<Rig>, count: usize) -> Vec<Ticket<()>> {
    let tickets =
        (0..count).map(|_| Arc::clone(rig)).map(|own| rig.submit(|run| endless(own, run))).collect();
    while rig.pool.stats().queued[0] > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    tickets
}

/// The runs that wait, and do the work.
struct Crowd {
    rig: Arc<Rig>,
    chains: Vec<Chain>,
    tickets: Vec<Ticket<()>>,
}

impl Crowd {
    fn new(operation: &str, layout: (usize, usize), waiting: usize) -> Self {
        let sinks = operation == "preempting_arrival";
        let rig = Rig::new(layout, sinks.then_some(SHORT_QUANTUM));
        let (mut chains, mut tickets) = (Vec::new(), Vec::new());
        // Nothing runs before all of it is there, but for what has to get to its place first.
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let held: Vec<_> = (0..layout.0)
            .filter(|_| ["submit_run_retire", "yield"].contains(&operation))
            .map(|_| Arc::clone(&gate))
            .map(|gate| rig.submit(|_| async move { drop(gate.lock().unwrap()) }))
            .collect();
        match operation {
            "submit_run_retire" => chains = submit_run_retire(&rig, waiting),
            "yield" => tickets = yields(&rig, waiting),
            "park_wake" => tickets = park_wake(&rig, waiting, layout.0),
            _ => tickets = loops(&rig, waiting + layout.0),
        }
        drop(closed);
        for run in held {
            wait(run).unwrap();
        }
        Self { rig, chains, tickets }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.rig.quit();
        self.tickets.clear();
        wait(self.rig.pool.idle());
        // A chain holds the rig and, in its tickets, itself.
        self.chains.iter().for_each(|chain| *chain.lock().unwrap() = [None, None]);
    }
}

fn scheduling(c: &mut Criterion) {
    for operation in ["submit_run_retire", "yield", "park_wake", "preempting_arrival"] {
        let mut group = c.benchmark_group(operation);
        group
            .throughput(Throughput::Elements(1))
            .sample_size(20)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(600));
        for layout in LAYOUTS {
            for waiting in WAITING {
                let id = BenchmarkId::new(
                    format!("{} workers {} queues", layout.0, layout.1),
                    format!("{waiting} waiting"),
                );
                // Made when criterion first calls, which a filter may prevent; it calls often.
                let mut crowd = None;
                group.bench_function(id, |b| {
                    let crowd = crowd.get_or_insert_with(|| Crowd::new(operation, layout, waiting));
                    if operation == "preempting_arrival" {
                        b.iter(|| wait(crowd.rig.submit(|_| async {})).unwrap());
                    } else {
                        b.iter_custom(|operations| crowd.rig.time(operations));
                    }
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, scheduling);

/// With `COUNT="yield 1000 50000"` the benchmark only does so many operations with so many waiting, on
/// one worker, for a tool that counts instructions (`just bench-pool instructions`).
fn main() {
    let Ok(count) = std::env::var("COUNT") else {
        benches();
        return Criterion::default().configure_from_args().final_summary();
    };
    let mut words = count.split(' ');
    let operation = words.next().unwrap();
    let [waiting, operations] = [(); 2].map(|()| words.next().unwrap().parse::<usize>().unwrap());
    let crowd = Crowd::new(operation, (1, 1), waiting);
    crowd.rig.time(operations as u64);
    // The clean-up of 100,000 runs is not what is counted.
    std::process::exit(0);
}
