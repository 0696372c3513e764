//! A preemptive scheduler of futures on a few plain threads.
//!
//! Knows nothing of WebAssembly, HTTP or tokio. A *run* is a future that is polled on one of N
//! worker threads, one *slice* at a time, and that asks [`Run::verdict`] from inside whenever it
//! is made to: "should I yield, stop or go on?". With that one question long runs are preempted
//! by short ones, budgets are enforced and runs are stopped within milliseconds.
//!
//! | file | owns |
//! |---|---|
//! | `admission.rs` | who may come in: permits, waiting rooms, the retry hint |
//! | `levels.rs` | which run is next: levels, quanta, ageing; pure |
//! | `turns.rs` | within a level: which share is next; pure |
//! | `run.rs` | one run: states, budgets, verdict, ticket |
//! | `shared.rs` | one queue: the state behind its mutex, and its steps |
//! | `peers.rs` | what the queues of a pool show each other |
//! | `worker.rs`, `ticker.rs` | the threads |
//! | `sync.rs`, `lock.rs`, `clock.rs` | the primitives under all of it |
//!
//! What holds, whatever runs:
//!
//! - A short run overtakes any number of long ones: runs that used a quantum up are on lower
//!   levels, and an arrival interrupts them at once. (Runs that have not had their first
//!   quantum yet are all equal: a thousand *new* loops delay a newcomer by about one quantum
//!   each, until they have sunk.)
//! - Within a level, shares that have runs waiting take turns: each gets CPU time by its weight
//!   ([`ShareLimits::weight`]), whatever the number of its runs. Between levels the number counts: a
//!   share whose runs all end within their first quanta comes before one whose runs are long.
//! - Each level that waits gets `1 / guaranteed_share` of the workers' time, in slices of the
//!   base quantum that arrivals don't cut short, on at most half of the workers (rounded up) at
//!   once: with one worker that is what a short run may have to wait.
//! - With more than [`Config::workers_per_queue`] workers there are several queues, and the three rules
//!   above hold in each: a worker without work, or with longer work, serves the others too.
//! - A stop (ticket dropped, deadline, budget, [`Pool::stop_all`]) takes effect at the run's next
//!   verdict, or at once if it is queued or parked; its future is dropped on a worker, then its
//!   permit goes back, then its ticket resolves.
//! - The quantum and the CPU budget are CPU time of the worker thread, so neighbours and the
//!   operating system cost a run nothing. Slices are cut at ticks, to the nearest one.
//! - With nothing running, no thread wakes up, except for the next deadline of a parked run.
//! - A future that neither asks for its verdict nor returns holds its worker; nothing here can
//!   take it away. Panics of a run are caught; a ticket's waker that panics, or an unread output
//!   whose drop panics, aborts the process (async-task does).
//!
//! The idle protocol and the stop transitions are checked in every interleaving (half a
//! minute), and the figures printed, by
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p unblock-pool --lib loom
//! cargo run --release -p unblock-pool --example figures
//! ```
#![forbid(unsafe_code)]
#![allow(unexpected_cfgs, reason = "`loom` is set by hand when the model checker runs")]

mod admission;
mod clock;
mod levels;
mod lock;
mod peers;
mod run;
mod shared;
mod sync;
mod ticker;
mod turns;
mod worker;

pub use admission::{Enter, Permit, Refused, Share, ShareLimits};
pub use run::{Budget, Ended, Glance, Outcome, Report, Run, Standing, Stop, Ticket, Verdict};

#[cfg(feature = "measure")]
pub use lock::{LockFigures, lock_figures};

use admission::Admission;
use clock::{Clock, nanos};
use levels::{LEVELS_MAX, Levels, Policy};
use peers::{Peers, QUEUES_MAX};
use shared::Shared;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Cores that one queue serves with a margin, by the model in `docs/pool.md`; small machines keep one
/// queue.
const WORKERS_PER_QUEUE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// Wraps a worker thread's whole life.
pub type OnThread = Arc<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// How a pool is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads.
    pub workers: NonZeroUsize,
    /// Workers that share one queue and its lock. With more than so many, the pool has several queues
    /// of about equal size: fewer workers get into each other's way, and the order of short runs is
    /// kept in each queue only. (There are at most 64 queues.)
    pub workers_per_queue: NonZeroUsize,
    /// How often running slices are made to ask for their verdict.
    pub tick: Duration,
    /// CPU time of a slice on level 0; doubles with each level.
    pub quantum: Duration,
    /// Levels of the queue, 1 to 16.
    pub levels: usize,
    /// A level that waits gets one part in this many of the workers' time; at least 2.
    pub guaranteed_share: u32,
    /// Niceness of the worker threads (Linux: 0 normal, 19 last). Failing to set it is no error.
    pub nice: i32,
    /// How long one idle worker spins before it sleeps, while work comes often enough to be caught
    /// that way; the others sleep at once.
    pub spin: Duration,
    /// Permits out at once, over all shares.
    pub max_runs: usize,
    /// Prefix of the threads' names.
    pub thread_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            workers_per_queue: WORKERS_PER_QUEUE,
            tick: Duration::from_millis(1),
            quantum: Duration::from_millis(1),
            levels: 4,
            guaranteed_share: 8,
            nice: 5,
            spin: Duration::from_micros(20),
            max_runs: 10_000,
            thread_name: "pool".to_owned(),
        }
    }
}

/// What the pool does and has done; plain numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Worker threads there are.
    pub workers: usize,
    /// Permits that may be out at once, see [`Config::max_runs`].
    pub runs_max: usize,
    /// Slices being polled now.
    pub running: usize,
    /// Runs waiting per level, the best level first.
    pub queued: Vec<usize>,
    /// Stopped runs waiting to be dropped.
    pub urgent: usize,
    /// Runs waiting for something outside.
    pub parked: usize,
    /// Workers without work.
    pub idle_workers: usize,
    /// Permits out.
    pub permits: usize,
    /// Waiters for a permit.
    pub admission_waiting: usize,
    /// Permits given.
    pub admitted: u64,
    /// Callers turned away: room full, or draining.
    pub refused: u64,
    /// Runs submitted.
    pub submitted: u64,
    /// Runs that gave an output.
    pub completed: u64,
    /// Runs that panicked.
    pub panicked: u64,
    /// Runs stopped, by reason, in the order of [`Stop::ALL`].
    pub stopped: [u64; 5],
    /// Slices handed to workers.
    pub slices: u64,
    /// Slices that gave way to something better.
    pub preemptions: u64,
    /// Falls to a lower level.
    pub demotions: u64,
    /// Slices granted by ageing.
    pub aged_slices: u64,
    /// Slices that went to a worker of another queue.
    pub visits: u64,
    /// Calls of the interrupt function.
    pub interrupts: u64,
    /// Sleeping workers woken.
    pub worker_wakes: u64,
    /// Times the ticker was woken from its sleep.
    pub ticker_wakes: u64,
    /// Deadlines the ticker watches, void ones included.
    pub deadlines: usize,
}

/// N worker threads and a ticker. Dropped, it stops all runs ([`Stop::Shutdown`]) and joins its
/// threads: that waits for every running slice to ask for its verdict or end.
pub struct Pool {
    queues: Arc<[Arc<Shared>]>,
    /// The first of them, which there always is.
    first: Arc<Shared>,
    peers: Arc<Peers>,
    admission: Arc<Admission>,
    workers: Vec<JoinHandle<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the threads. `interrupt` makes every running slice ask [`Run::verdict`] soon; it
    /// is called from any thread, must be quick and must not call back into the pool.
    /// `on_thread` wraps each worker's whole life: it gets the life as a function and calls it
    /// once.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn new(
        config: Config,
        interrupt: Arc<dyn Fn() + Send + Sync>,
        on_thread: OnThread,
    ) -> io::Result<Self> {
        let clock = Clock::new();
        let admission = Admission::new(clock, config.max_runs);
        let workers = config.workers.get();
        let count = workers.div_ceil(config.workers_per_queue.get()).min(QUEUES_MAX);
        let peers = Arc::new(Peers::new(clock, nanos(config.tick).max(1), interrupt, count, workers));
        let queue = |index: usize| {
            // Sizes differ by one at most.
            let workers = workers / count + usize::from(index < workers % count);
            let policy = Policy {
                quantum_ns: nanos(config.quantum),
                slack_ns: nanos(config.tick) / 2,
                levels: config.levels.clamp(1, LEVELS_MAX),
                guaranteed_share: config.guaranteed_share,
                aged_max: workers.div_ceil(2),
            };
            let levels = Levels::new(policy);
            Arc::new(Shared::new(Arc::clone(&peers), index, levels, workers, nanos(config.spin), config.nice))
        };
        let first = queue(0);
        let queues: Arc<[Arc<Shared>]> =
            std::iter::once(Arc::clone(&first)).chain((1..count).map(queue)).collect();
        peers.introduce(queues.iter().map(Arc::downgrade).collect());
        // From here on a failure drops the pool, which joins what was started.
        let mut pool = Self {
            queues: Arc::clone(&queues),
            first,
            peers: Arc::clone(&peers),
            admission,
            workers: Vec::with_capacity(workers),
            ticker: None,
        };
        let name = &config.thread_name;
        let ticking = (Arc::clone(&peers), Arc::clone(&queues));
        pool.ticker = Some(
            thread::Builder::new()
                .name(format!("{name}-ticker"))
                .spawn(move || ticker::run(&ticking.0, &ticking.1))?,
        );
        for number in 0..workers {
            let queues = Arc::clone(&queues);
            let on_thread = Arc::clone(&on_thread);
            let worker = thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || live(&queues, number % count, number / count, &on_thread))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Opens a share: its own waiting room and ceiling.
    pub fn share(&self, limits: ShareLimits) -> Share {
        self.admission.share(limits)
    }

    /// Queues a run. `start` is called on a worker, in the first slice; if the run is stopped
    /// before, it is dropped uncalled.
    pub fn submit<T, F, Fut>(&self, permit: Permit, budget: Budget, start: F) -> Ticket<T>
    where
        T: Send + 'static,
        F: FnOnce(Run) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let queue = self.queues.get(self.peers.place()).unwrap_or(&self.first);
        run::submit(queue, permit, budget, start)
    }

    /// Admits nobody any more: waiters and newcomers get [`Refused::Draining`]. Permits already
    /// out may still be used.
    pub fn close(&self) {
        self.admission.close();
    }

    /// Resolves when no permit is out, so no run is in flight and none can be submitted unless
    /// somebody enters.
    pub fn idle(&self) -> impl Future<Output = ()> + Send + 'static {
        let admission = Arc::clone(&self.admission);
        poll_fn(move |cx| admission.poll_idle(cx))
    }

    /// Stops all runs there are; later ones are not affected.
    pub fn stop_all(&self, reason: Stop) {
        self.queues.iter().for_each(|queue| queue.stop_all(reason));
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Permits that may be out at once ([`Config::max_runs`]).
    pub fn permits_max(&self) -> usize {
        self.admission.runs_max()
    }

    /// The numbers of this moment.
    pub fn stats(&self) -> Stats {
        let (workers, runs_max) = (self.workers.len(), self.admission.runs_max());
        let mut stats = Stats { workers, runs_max, ..Stats::default() };
        self.queues.iter().for_each(|queue| queue.add_stats(&mut stats));
        stats.interrupts = self.peers.interrupts.load(Ordering::Relaxed);
        stats.ticker_wakes = self.peers.ticker_wakes.load(Ordering::Relaxed);
        let admission = self.admission.stats();
        stats.permits = admission.permits;
        stats.admission_waiting = admission.waiting;
        stats.admitted = admission.admitted;
        stats.refused = admission.refused;
        stats
    }
}

/// One worker thread of a queue, wrapped as the owner wants it.
fn live(queues: &[Arc<Shared>], home: usize, index: usize, on_thread: &OnThread) {
    let lived = AtomicBool::new(false);
    let mut life = || {
        if !lived.swap(true, Ordering::Relaxed) {
            worker::run(queues, home, index);
        }
    };
    let wrapped = catch_unwind(AssertUnwindSafe(|| on_thread(&mut life)));
    // A wrapper that fails before it lets the worker live doesn't make the pool smaller.
    if wrapped.is_err() || !lived.load(Ordering::Relaxed) {
        life();
    }
    let peers = queues.first().map(|queue| &queue.peers);
    if let Some(peers) = peers.filter(|peers| peers.workers_left.fetch_sub(1, Ordering::AcqRel) == 1) {
        peers.end_ticker();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        self.stop_all(Stop::Shutdown);
        self.queues.iter().for_each(|queue| queue.begin_exit());
        let me = thread::current().id();
        if self.workers.iter().any(|w| w.thread().id() == me) {
            // A run that owns its pool drops it on a worker, which cannot wait for itself: the
            // threads leave by themselves, the last worker ends the ticker.
            return;
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        self.peers.end_ticker();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}
