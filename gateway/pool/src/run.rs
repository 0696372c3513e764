//! One run: its budgets, stop flag, slices and CPU time, and the handles to it.
//!
//! States, who enters each, and what may follow:
//!
//! | state | entered by | then |
//! |---|---|---|
//! | queued, not started | `Pool::submit` | running, or dropped: queue deadline, stop |
//! | running | a worker, which polls one slice | queued (yield), parked (waits), ended |
//! | queued, started | the end of a slice; a waker | running, or dropped: wall deadline, stop |
//! | parked | the end of a slice | queued (waker), or dropped: wall deadline, stop |
//! | ended | the worker of the last slice | nothing: future dropped, permit back, ticket ready |
//!
//! Dropping always happens on a worker, in a last slice that doesn't poll the guest's future: a
//! stopped run is moved to the front of the queue (or woken) for that. The stop flag is set once,
//! the first reason wins. Must not know the order of runs or how workers find them.

use crate::admission::Permit;
use crate::clock::{Clocks, NEVER_NS, SHORT_SLICE_NS, nanos, thread_cpu_ns};
use crate::levels::{Key, Stake, Taken};
use crate::shared::{Ready, Shared};
use crate::sync::Once8;
use async_task::{FallibleTask, Runnable, ScheduleInfo, WithInfo};
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A slice that used little CPU but held its worker this many quanta of wall time yields anyway:
/// the worker was descheduled, or the future blocked in the kernel.
const SLICE_WALL_QUANTA_MAX: u64 = 4;

/// Panic messages are kept up to this length: they end up in logs and answers.
const PANIC_MESSAGE_BYTES_MAX: usize = 4096;

/// What a run may use. Zero means "nothing", not "no limit"; [`Duration::MAX`] is no limit.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The run must have had its first slice by then.
    pub queue_until: Option<Instant>,
    /// From the first slice to the last output, waits included.
    pub wall: Duration,
    /// CPU time of the worker threads, summed over the run's slices.
    pub cpu: Duration,
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// It had no slice before [`Budget::queue_until`].
    QueueWait,
    /// [`Budget::wall`] passed.
    Wall,
    /// [`Budget::cpu`] was used up.
    Cpu,
    /// Its ticket was dropped, or somebody asked.
    Cancelled,
    /// The pool ends.
    Shutdown,
}

impl Stop {
    /// All reasons, in the order in which [`crate::Stats::stopped`] counts them.
    pub const ALL: [Self; Self::COUNT] =
        [Self::QueueWait, Self::Wall, Self::Cpu, Self::Cancelled, Self::Shutdown];
    pub(crate) const COUNT: usize = 5;

    /// The place of this reason in [`Stop::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::QueueWait => 0,
            Self::Wall => 1,
            Self::Cpu => 2,
            Self::Cancelled => 3,
            Self::Shutdown => 4,
        }
    }

    fn to_bits(self) -> u8 {
        match self {
            Self::QueueWait => 1,
            Self::Wall => 2,
            Self::Cpu => 3,
            Self::Cancelled => 4,
            Self::Shutdown => 5,
        }
    }

    fn from_bits(bits: u8) -> Option<Self> {
        let index = usize::from(bits.checked_sub(1)?);
        Self::ALL.get(index).copied()
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueWait => "waited too long for its first slice",
            Self::Wall => "wall-time budget used up",
            Self::Cpu => "CPU-time budget used up",
            Self::Cancelled => "cancelled",
            Self::Shutdown => "the pool shuts down",
        })
    }
}

/// The answer to "should I yield, stop or go on?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Wake yourself and be pending once.
    Yield,
    /// End: whatever the future still returns, the run counts as stopped for this reason. Being
    /// pending once is enough; the future is then dropped.
    Stop(Stop),
}

/// How a run ended without an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped.
    Stopped(Stop),
    /// Its future (or its drop) panicked, with this message.
    Panicked(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(stop) => write!(f, "stopped: {stop}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl std::error::Error for Ended {}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// From submission to the first slice (or to the end, if it had none).
    pub queue: Duration,
    /// From the first slice to the end, the drop of the future included.
    pub wall: Duration,
    /// CPU time over all slices. A slice of less than 50 µs counts by the wall clock, which spares a
    /// system call and is never less.
    pub cpu: Duration,
    /// Slices polled; 0 if the run never started.
    pub slices: u32,
    /// How often it was told to yield to something better.
    pub preemptions: u32,
    /// The level it ended on.
    pub level: usize,
}

/// Where a run is, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a worker.
    Queued,
    /// A worker polls it.
    Running {
        /// Which one: the number in its thread's name.
        worker: usize,
    },
    /// It waits for something outside.
    Parked,
}

/// A look at a run from any thread: each figure is right for its moment, and they need not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Where it is.
    pub standing: Standing,
    /// The level of its last slice.
    pub level: usize,
    /// CPU time used so far; the slice under way counts by the wall clock.
    pub cpu: Duration,
    /// Slices begun.
    pub slices: u32,
    /// How often it was told to yield to something better.
    pub preemptions: u32,
}

/// What a [`Ticket`] resolves to.
pub type Outcome<T> = Result<(T, Report), (Ended, Report)>;

/// The state of one run. Fields of the slice are written by the worker that polls the run, in
/// [`Core::begin_slice`] and [`Run::verdict`]; async-task orders one slice before the next, so
/// relaxed accesses do.
pub(crate) struct Core {
    shared: Arc<Shared>,
    stop: Once8,
    /// [`Run::verdict`] has said so: what the future does next is a reaction to it.
    told: AtomicBool,
    key: AtomicU64,
    pub(crate) submitted_ns: u64,
    queue_until_ns: u64,
    wall_ns: u64,
    cpu_ns: u64,
    /// When the first slice started; [`NEVER_NS`] before.
    started_ns: AtomicU64,
    /// CPU time of the slices that have ended.
    cpu_used_ns: AtomicU64,
    slices: AtomicU32,
    preemptions: AtomicU32,

    slice_start_ns: AtomicU64,
    /// Up to here, by the wall clock, the slice is charged already.
    slice_charged_ns: AtomicU64,
    /// The CPU clock at that moment.
    slice_cpu_start_ns: AtomicU64,
    /// The slice was charged at its end: its clocks are the start of the next one.
    slice_charged: AtomicBool,
    /// CPU time after which the slice is cut.
    slice_cut_ns: AtomicU64,
    /// Wall time after which it is cut, whatever CPU time it had.
    slice_wall_max_ns: AtomicU64,
    /// Nothing about the quantum needs a look before then.
    slice_check_ns: AtomicU64,
    slice_level: AtomicU8,
    slice_aged: AtomicBool,
    slice_preempted: AtomicBool,
    /// The last tick that [`Run::ticks`] has counted.
    ticks_counted_ns: AtomicU64,
    /// The CPU clock when it did.
    ticks_counted_cpu_ns: AtomicU64,
    /// The queue whose worker polls the slice: the run's own, unless that worker visits.
    slice_home: AtomicUsize,
    /// That worker's number; [`NO_WORKER`] between two slices.
    slice_worker: AtomicUsize,
    /// Whether it waits for a worker, between two slices.
    queued: AtomicBool,
}

const NO_WORKER: usize = usize::MAX;

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("key", &self.key()).field("stop", &self.stop()).finish_non_exhaustive()
    }
}

const RELAXED: Ordering = Ordering::Relaxed;

impl Core {
    fn new(shared: Arc<Shared>, budget: Budget) -> Self {
        let submitted_ns = shared.clock.now_ns();
        let queue_until_ns = budget.queue_until.map_or(NEVER_NS, |at| shared.clock.ns_at(at));
        Self {
            shared,
            stop: Once8::new(),
            told: AtomicBool::new(false),
            key: AtomicU64::new(u64::MAX),
            submitted_ns,
            queue_until_ns,
            wall_ns: nanos(budget.wall),
            cpu_ns: nanos(budget.cpu),
            started_ns: AtomicU64::new(NEVER_NS),
            cpu_used_ns: AtomicU64::new(0),
            slices: AtomicU32::new(0),
            preemptions: AtomicU32::new(0),
            slice_start_ns: AtomicU64::new(0),
            slice_charged_ns: AtomicU64::new(0),
            slice_cpu_start_ns: AtomicU64::new(0),
            slice_charged: AtomicBool::new(false),
            slice_cut_ns: AtomicU64::new(0),
            slice_wall_max_ns: AtomicU64::new(0),
            slice_check_ns: AtomicU64::new(0),
            slice_level: AtomicU8::new(0),
            slice_aged: AtomicBool::new(false),
            slice_preempted: AtomicBool::new(false),
            ticks_counted_ns: AtomicU64::new(0),
            ticks_counted_cpu_ns: AtomicU64::new(0),
            slice_home: AtomicUsize::new(0),
            slice_worker: AtomicUsize::new(NO_WORKER),
            queued: AtomicBool::new(true),
        }
    }

    /// Somebody put it into its queue.
    pub(crate) fn note_queued(&self) {
        self.queued.store(true, RELAXED);
    }

    pub(crate) fn key(&self) -> Key {
        Key::from_bits(self.key.load(RELAXED))
    }

    pub(crate) fn set_key(&self, key: Key) {
        self.key.store(key.to_bits(), RELAXED);
    }

    pub(crate) fn stop(&self) -> Option<Stop> {
        Stop::from_bits(self.stop.get())
    }

    /// `true`: this call stopped it.
    pub(crate) fn set_stop(&self, reason: Stop) -> bool {
        self.stop.set(reason.to_bits())
    }

    fn wall_deadline_ns(&self) -> u64 {
        self.started_ns.load(RELAXED).saturating_add(self.wall_ns)
    }

    /// When a run that waits is to be stopped, as things are now.
    pub(crate) fn deadline_ns(&self) -> u64 {
        if self.started_ns.load(RELAXED) == NEVER_NS { self.queue_until_ns } else { self.wall_deadline_ns() }
    }

    pub(crate) fn deadline_reason(&self) -> Stop {
        if self.started_ns.load(RELAXED) == NEVER_NS { Stop::QueueWait } else { Stop::Wall }
    }

    pub(crate) fn was_preempted(&self) -> bool {
        self.slice_preempted.load(RELAXED)
    }

    /// Worker, before it polls a slice.
    fn begin_slice(&self, taken: &Taken, by: By, now_ns: u64, charged: Clocks) {
        self.slice_home.store(by.home, RELAXED);
        self.slice_worker.store(by.worker, RELAXED);
        self.queued.store(false, RELAXED);
        self.slice_start_ns.store(now_ns, RELAXED);
        self.slice_charged_ns.store(charged.wall_ns, RELAXED);
        self.slice_cpu_start_ns.store(charged.cpu_ns, RELAXED);
        self.slice_charged.store(false, RELAXED);
        self.slice_cut_ns.store(taken.cut_ns, RELAXED);
        self.slice_wall_max_ns.store(taken.quantum_ns.saturating_mul(SLICE_WALL_QUANTA_MAX), RELAXED);
        self.slice_check_ns.store(now_ns.saturating_add(taken.cut_ns), RELAXED);
        let level = u8::try_from(taken.level).unwrap_or(u8::MAX);
        self.slice_level.store(level, RELAXED);
        self.slice_aged.store(taken.aged, RELAXED);
        self.slice_preempted.store(false, RELAXED);
    }

    /// The clocks at the end of the slice, if it was charged.
    fn slice_end(&self) -> Option<Clocks> {
        self.slice_charged.load(RELAXED).then(|| Clocks {
            wall_ns: self.slice_charged_ns.load(RELAXED),
            cpu_ns: self.slice_cpu_start_ns.load(RELAXED),
        })
    }

    /// Charges the run for the slice up to now. The CPU clock is read if that was long.
    fn charge(&self) -> u64 {
        let now_ns = self.shared.clock.now_ns();
        let elapsed_ns = now_ns.saturating_sub(self.slice_charged_ns.load(RELAXED));
        let start_ns = self.slice_cpu_start_ns.load(RELAXED);
        let (used_ns, cpu_ns) = if elapsed_ns < SHORT_SLICE_NS {
            (elapsed_ns, start_ns.saturating_add(elapsed_ns))
        } else {
            let cpu_ns = thread_cpu_ns();
            (cpu_ns.saturating_sub(start_ns).min(elapsed_ns), cpu_ns)
        };
        self.slice_charged.store(true, RELAXED);
        let total_ns = self.cpu_used_ns.load(RELAXED).saturating_add(used_ns);
        self.cpu_used_ns.store(total_ns, RELAXED);
        // A second charge in the same slice takes only what came after the first.
        self.slice_charged_ns.store(now_ns, RELAXED);
        self.slice_cpu_start_ns.store(cpu_ns, RELAXED);
        used_ns
    }

    fn slice_cpu_ns(&self) -> u64 {
        thread_cpu_ns().saturating_sub(self.slice_cpu_start_ns.load(RELAXED))
    }

    fn preempted(&self) -> Verdict {
        if !self.slice_preempted.swap(true, RELAXED) {
            self.preemptions.fetch_add(1, RELAXED);
        }
        Verdict::Yield
    }

    fn verdict(&self) -> Verdict {
        if let Some(stop) = self.stop() {
            return self.tell(stop);
        }
        let now_ns = self.shared.clock.now_ns();
        if now_ns >= self.wall_deadline_ns() {
            self.set_stop(Stop::Wall);
            return self.tell(Stop::Wall);
        }
        // A thread's CPU time never runs faster than the wall clock, so that the system call
        // is only due once the budget could be used up.
        let elapsed_ns = now_ns.saturating_sub(self.slice_start_ns.load(RELAXED));
        let cpu_before_ns = self.cpu_used_ns.load(RELAXED);
        if cpu_before_ns.saturating_add(elapsed_ns) >= self.cpu_ns
            && cpu_before_ns.saturating_add(self.slice_cpu_ns()) >= self.cpu_ns
        {
            self.set_stop(Stop::Cpu);
            return self.tell(Stop::Cpu);
        }
        let aged = self.slice_aged.load(RELAXED);
        let bits = self.shared.waiting_bits(self.slice_home.load(RELAXED));
        if bits & 1 != 0 {
            return self.preempted();
        }
        if bits != 0 && !aged {
            let best = bits.trailing_zeros() - 1;
            if best < u32::from(self.slice_level.load(RELAXED)) {
                return self.preempted();
            }
        }
        if now_ns < self.slice_check_ns.load(RELAXED) {
            return Verdict::Continue;
        }
        let cut_ns = self.slice_cut_ns.load(RELAXED);
        let used_ns = self.slice_cpu_ns();
        if used_ns >= cut_ns || elapsed_ns >= self.slice_wall_max_ns.load(RELAXED) {
            return Verdict::Yield;
        }
        // Descheduled meanwhile: the quantum is CPU time.
        self.slice_check_ns.store(now_ns.saturating_add(cut_ns - used_ns), RELAXED);
        Verdict::Continue
    }

    fn ticks(&self) -> u32 {
        let (tick_ns, ticked_ns) = (self.shared.peers.tick_ns, self.shared.peers.ticked_ns.load(RELAXED));
        let (start_ns, counted_ns) = (self.slice_start_ns.load(RELAXED), self.ticks_counted_ns.load(RELAXED));
        if ticked_ns <= start_ns.max(counted_ns) {
            return 0;
        }
        let cpu_ns = thread_cpu_ns();
        self.ticks_counted_ns.store(ticked_ns, RELAXED);
        let counted_cpu_ns = self.ticks_counted_cpu_ns.swap(cpu_ns, RELAXED);
        // From one tick to another there are whole ticks, more or less; from the slice's start a part of one.
        let (ticks, used_ns) = if counted_ns >= start_ns {
            let ticks = (ticked_ns - counted_ns).saturating_add(tick_ns / 2) / tick_ns;
            (ticks, cpu_ns.saturating_sub(counted_cpu_ns))
        } else {
            let slice_cpu_ns = cpu_ns.saturating_sub(self.slice_cpu_start_ns.load(RELAXED));
            ((ticked_ns - start_ns) / tick_ns + 1, slice_cpu_ns)
        };
        // Those that came while the worker itself had no core are nobody's.
        u32::try_from(ticks.min(used_ns.div_ceil(tick_ns)).max(1)).unwrap_or(u32::MAX)
    }

    fn glance(&self) -> Glance {
        let mut cpu_ns = self.cpu_used_ns.load(RELAXED);
        let standing = match self.slice_worker.load(RELAXED) {
            NO_WORKER if self.queued.load(RELAXED) => Standing::Queued,
            NO_WORKER => Standing::Parked,
            worker => {
                let since_ns = self.slice_charged_ns.load(RELAXED);
                cpu_ns = cpu_ns.saturating_add(self.shared.clock.now_ns().saturating_sub(since_ns));
                Standing::Running { worker }
            }
        };
        Glance {
            standing,
            level: usize::from(self.slice_level.load(RELAXED)),
            cpu: Duration::from_nanos(cpu_ns),
            slices: self.slices.load(RELAXED),
            preemptions: self.preemptions.load(RELAXED),
        }
    }

    fn tell(&self, stop: Stop) -> Verdict {
        self.told.store(true, RELAXED);
        // Another reason may have been first.
        Verdict::Stop(self.stop().unwrap_or(stop))
    }

    fn report(&self, level: usize) -> Report {
        let now_ns = self.shared.clock.now_ns();
        let started_ns = self.started_ns.load(RELAXED);
        Report {
            queue: Duration::from_nanos(started_ns.min(now_ns).saturating_sub(self.submitted_ns)),
            wall: Duration::from_nanos(now_ns.saturating_sub(started_ns)),
            cpu: Duration::from_nanos(self.cpu_used_ns.load(RELAXED)),
            slices: self.slices.load(RELAXED),
            preemptions: self.preemptions.load(RELAXED),
            level,
        }
    }
}

/// A run's own view of itself, given to the function that starts it.
#[derive(Clone)]
pub struct Run {
    core: Arc<Core>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(&self.core).finish()
    }
}

impl Run {
    /// Yield, stop or go on? Cheap: one clock reading without a system call while the quantum
    /// and the CPU budget last. Only means something on the worker that polls this run now.
    pub fn verdict(&self) -> Verdict {
        self.core.verdict()
    }

    /// The reason this run was stopped for, once it was. Any thread may ask.
    pub fn stopped(&self) -> Option<Stop> {
        self.core.stop()
    }

    /// Stops this run; the first reason given counts. Any thread may call it.
    pub fn stop(&self, reason: Stop) {
        self.core.shared.stop(&self.core, reason);
    }

    /// What is left of the wall budget; all of it before the first slice.
    pub fn remaining_wall(&self) -> Duration {
        if self.core.started_ns.load(RELAXED) == NEVER_NS {
            return Duration::from_nanos(self.core.wall_ns);
        }
        let now_ns = self.core.shared.clock.now_ns();
        Duration::from_nanos(self.core.wall_deadline_ns().saturating_sub(now_ns))
    }

    /// What is left of the CPU budget. Exact on the worker that polls this run now.
    pub fn remaining_cpu(&self) -> Duration {
        Duration::from_nanos(self.core.cpu_ns).saturating_sub(self.cpu_used())
    }

    /// CPU time used so far. Only means something on the worker that polls this run now.
    pub fn cpu_used(&self) -> Duration {
        let before_ns = self.core.cpu_used_ns.load(RELAXED);
        Duration::from_nanos(before_ns.saturating_add(self.core.slice_cpu_ns()))
    }

    /// Ticks that came in the slice under way since this was last asked: 0 if what made it ask was something
    /// else, such as an arrival. Over many slices, short ones too, each stands for one tick of CPU
    /// time. Only means something on the worker that polls this run now.
    pub fn ticks(&self) -> u32 {
        self.core.ticks()
    }

    /// What it is at. Any thread may ask.
    pub fn glance(&self) -> Glance {
        self.core.glance()
    }

    /// When it was submitted: time waited in the pool's queue before the first slice.
    pub fn queued(&self) -> Duration {
        let now_ns = self.core.shared.clock.now_ns();
        let started_ns = self.core.started_ns.load(RELAXED).min(now_ns);
        Duration::from_nanos(started_ns.saturating_sub(self.core.submitted_ns))
    }
}

/// Waits for a run's end. Dropped, it stops the run ([`Stop::Cancelled`]), whether that is
/// queued, running or parked.
#[must_use = "dropping a ticket cancels its run"]
pub struct Ticket<T> {
    task: Option<FallibleTask<Outcome<T>, Arc<Core>>>,
    core: Arc<Core>,
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.core).finish()
    }
}

impl<T> Ticket<T> {
    /// Stops the run; the first reason given counts. The ticket resolves once the run's future
    /// has been dropped; with its output, if it came first.
    pub fn stop(&self, reason: Stop) {
        if self.task.is_some() {
            self.core.shared.stop(&self.core, reason);
        }
    }
}

impl<T> Future for Ticket<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match self.task.as_mut() {
            Some(task) => match Pin::new(task).poll(cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Poll::Pending,
            },
            None => None,
        };
        self.task = None;
        Poll::Ready(outcome.unwrap_or_else(|| {
            // The task was thrown away without an end of its own.
            let stop = self.core.stop().unwrap_or(Stop::Shutdown);
            Err((Ended::Stopped(stop), self.core.report(0)))
        }))
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            if !task.is_finished() {
                self.core.shared.stop(&self.core, Stop::Cancelled);
            }
            task.detach();
        }
    }
}

/// Makes a run and queues it.
pub(crate) fn submit<T, F, Fut>(shared: &Arc<Shared>, permit: Permit, budget: Budget, start: F) -> Ticket<T>
where
    T: Send + 'static,
    F: FnOnce(Run) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let core = Arc::new(Core::new(Arc::clone(shared), budget));
    let stake = Stake { share: permit.share(), weight: permit.weight() };
    let (ready, task) = async_task::Builder::new()
        .metadata(Arc::clone(&core))
        .spawn(|core: &Arc<Core>| drive(Arc::clone(core), permit, start), WithInfo(schedule));
    shared.arrive(Arc::clone(&core), ready, stake);
    Ticket { task: Some(task.fallible()), core }
}

fn schedule(ready: Runnable<Arc<Core>>, info: ScheduleInfo) {
    let core = Arc::clone(ready.metadata());
    core.shared.schedule(ready, info);
}

/// Who polls a slice.
#[derive(Clone, Copy)]
pub(crate) struct By {
    /// The queue that the worker belongs to.
    pub(crate) home: usize,
    /// The worker's number in the pool.
    pub(crate) worker: usize,
}

/// Polls one slice on a worker, and charges it for what came after `charged`. Returns the clocks at its end.
pub(crate) fn poll_slice(
    ready: Ready,
    taken: &Taken,
    by: By,
    now_ns: u64,
    charged: Clocks,
) -> Option<Clocks> {
    let core = Arc::clone(ready.metadata());
    core.begin_slice(taken, by, now_ns, charged);
    // The guest's panics are caught further in; what is left are wakers and outputs that panic.
    let polled = catch_unwind(AssertUnwindSafe(|| ready.run()));
    if polled.is_err() {
        let ended = Ended::Panicked(String::new());
        core.shared.retire_running(core.key(), &ended);
    }
    core.slice_end()
}

/// The future async-task holds: the guest's future, from `start` to its drop.
async fn drive<T, F, Fut>(core: Arc<Core>, permit: Permit, start: F) -> Outcome<T>
where
    F: FnOnce(Run) -> Fut,
    Fut: Future<Output = T>,
{
    let mut permit = Some(permit);
    let mut start = Some(start);
    let mut future = pin!(None);
    poll_fn(move |cx| {
        let ended = match poll_guest(&core, &mut start, future.as_mut(), cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => return Poll::Pending,
        };
        // First the future, so that its memory is free when anybody hears of the end.
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            drop(start.take());
            future.set(None);
        }));
        let ended = match dropped {
            Ok(()) => ended,
            Err(panic) => Err(Ended::Panicked(panic_message(&*panic))),
        };
        let used_ns = core.charge();
        let level = core.shared.retire(core.key(), used_ns, ended.as_ref().err());
        drop(permit.take());
        let report = core.report(level);
        Poll::Ready(match ended {
            Ok(output) => Ok((output, report)),
            Err(ended) => Err((ended, report)),
        })
    })
    .await
}

/// One slice of the guest: `Ready` when the run is over, however.
fn poll_guest<T, F, Fut>(
    core: &Arc<Core>,
    start: &mut Option<F>,
    mut future: Pin<&mut Option<Fut>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Ended>>
where
    F: FnOnce(Run) -> Fut,
    Fut: Future<Output = T>,
{
    let now_ns = core.slice_start_ns.load(RELAXED);
    if now_ns >= core.deadline_ns() {
        core.set_stop(core.deadline_reason());
    }
    if let Some(stop) = core.stop() {
        return Poll::Ready(Err(Ended::Stopped(stop)));
    }
    if start.is_some() {
        core.started_ns.store(now_ns, RELAXED);
    }
    core.slices.fetch_add(1, RELAXED);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        if let Some(start) = start.take() {
            let run = Run { core: Arc::clone(core) };
            future.set(Some(start(run)));
        }
        match future.as_mut().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }));
    match polled {
        Err(panic) => Poll::Ready(Err(Ended::Panicked(panic_message(&*panic)))),
        Ok(Poll::Ready(output)) => Poll::Ready(match core.stop() {
            Some(stop) if core.told.load(RELAXED) => Err(Ended::Stopped(stop)),
            _ => Ok(output),
        }),
        Ok(Poll::Pending) => {
            let used_ns = core.charge();
            if core.cpu_used_ns.load(RELAXED) >= core.cpu_ns {
                core.set_stop(Stop::Cpu);
            }
            // Before it can be polled again.
            core.slice_worker.store(NO_WORKER, RELAXED);
            match core.shared.end_slice(core, used_ns, cx.waker()) {
                Ok(()) => Poll::Pending,
                Err(stop) => Poll::Ready(Err(Ended::Stopped(stop))),
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    let end = text.floor_char_boundary(PANIC_MESSAGE_BYTES_MAX);
    text.get(..end).unwrap_or(text).to_owned()
}
