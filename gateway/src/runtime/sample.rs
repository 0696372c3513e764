//! Samples of where guests are: their stacks by functions, taken in the epoch callback.
//!
//! A call that is to be profiled is sampled at every tick, for a [`Sink`] of its own. Of all other calls a
//! worker samples one tick in so many, for the sink it was given ([`Sampler`]); those that end between two
//! ticks are never looked at. Each sample stands for the ticks since the one before on its worker, so the
//! sums are right whatever the pace, and the pace follows what samples cost. wasmtime has a profiler of its own,
//! `GuestProfiler`; it demangles every name of the module at its start, without a bound, and takes stacks of any
//! depth, which a hostile module uses. Knows not what becomes of a sample.

use super::engine::BACKTRACE_FRAMES_MAX;
use super::names::readable;
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use unblock_host::Host;
use unblock_pool::Run;
use wasmtime::{FrameInfo, Module, StoreContextMut, WasmBacktrace};

/// Of all time that guests run, samples take at most one part in so many: stacks as deep as a guest likes, and
/// names as long, only make samples rarer.
const COST_PARTS: u32 = 100;

/// The same for a call that is being profiled.
const COST_PARTS_CALL: u32 = 4;

/// Longest pause between two samples of a worker, in ticks, whatever the one before has cost.
const PAUSE_TICKS_MAX: u32 = 10_000;

/// Where samples go.
pub trait Sink: Send + Sync {
    /// Takes one. Called on a worker, inside a guest's run: must be quick.
    fn take(&self, sample: &Sample<'_>);
}

/// Where a guest was at one moment.
pub struct Sample<'a> {
    /// The number of its task's figures.
    pub task: u64,
    /// Ticks of CPU time that it stands for.
    pub ticks: u32,
    /// CPU time of the run so far.
    pub cpu: Duration,
    /// The functions, the innermost first.
    pub frames: Vec<Frame<'a>>,
    /// Whether there are callers that are not among them.
    pub cut: bool,
}

/// A function on a guest's stack.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Which one it is, among all functions of all modules.
    pub key: Key,
    name: Option<&'a str>,
    module: Option<&'a str>,
}

/// A function's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The version of the task.
    version: u64,
    /// The module within a component, by where its code begins.
    module: usize,
    /// The index in the module.
    function: u32,
}

impl Frame<'_> {
    /// The function's name, bounded, or its index.
    #[must_use]
    pub fn readable(&self) -> String {
        readable(self.name, self.key.function, self.module)
    }
}

#[cfg(test)]
impl<'a> Frame<'a> {
    pub(crate) fn of(function: u32, name: Option<&'a str>) -> Self {
        Self { key: Key { version: 0, module: 0, function }, name, module: None }
    }
}

/// What a call that is to be profiled brings along.
pub struct Profiled {
    /// Takes its samples.
    pub sink: Arc<dyn Sink>,
    /// Dropped once the run has ended, whatever became of it.
    pub done: oneshot::Sender<()>,
}

/// Whose samples a run's are.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    /// The number of the task's figures.
    pub task: u64,
    /// The version of its module.
    pub version: u64,
}

/// How the run of one store is sampled.
pub(super) struct Sampling {
    whose: Whose,
    profiled: Option<(Profiled, Pace)>,
}

impl Sampling {
    pub(super) fn new(whose: Whose, profiled: Option<Profiled>) -> Self {
        Self { whose, profiled: profiled.map(|profiled| (profiled, Pace::new(1, COST_PARTS_CALL))) }
    }

    /// Takes a sample of the guest that is interrupted here, if one is due.
    pub(super) fn look(&mut self, store: &StoreContextMut<'_, Host>, run: &Run) {
        let ticks = run.ticks();
        if ticks == 0 {
            return;
        }
        if let Some((Profiled { sink, .. }, pace)) = &mut self.profiled {
            if let Some(ticks) = pace.due(ticks) {
                pace.took(capture(store, run, self.whose, ticks, &**sink));
            }
            return;
        }
        let whose = self.whose;
        WORKER.with_borrow_mut(|worker| {
            let Some((sink, pace)) = worker else { return };
            if let Some(ticks) = pace.due(ticks) {
                pace.took(capture(store, run, whose, ticks, &**sink));
            }
        });
    }
}

/// Takes one sample. Returns the CPU time it took.
fn capture(
    store: &StoreContextMut<'_, Host>,
    run: &Run,
    whose: Whose,
    ticks: u32,
    sink: &dyn Sink,
) -> Duration {
    let cpu = run.cpu_used();
    let trace = WasmBacktrace::force_capture(store);
    let mut frames = Vec::with_capacity(trace.frames().len());
    let mut last: Option<(&Module, usize)> = None;
    for frame in trace.frames() {
        let module = match last {
            Some((module, at)) if Module::same(module, frame.module()) => at,
            _ => begin(frame),
        };
        last = Some((frame.module(), module));
        let key = Key { version: whose.version, module, function: frame.func_index() };
        frames.push(Frame { key, name: frame.func_name(), module: frame.module().name() });
    }
    let cut = frames.len() >= BACKTRACE_FRAMES_MAX;
    sink.take(&Sample { task: whose.task, ticks, cpu, frames, cut });
    run.cpu_used().saturating_sub(cpu)
}

/// Where the code of a frame's module begins; tells the modules of one component apart.
fn begin(frame: &FrameInfo) -> usize {
    frame.module().functions().next().map_or(0, |function| function.offset)
}

thread_local! {
    /// What the worker does with samples of ordinary calls.
    static WORKER: RefCell<Option<(Arc<dyn Sink>, Pace)>> = const { RefCell::new(None) };
}

/// How often workers sample ordinary calls, and for whom.
#[derive(Clone)]
pub struct Sampler {
    sink: Arc<dyn Sink>,
    every: u32,
}

impl Sampler {
    /// At most `per_second` samples a second on all `workers` together, whose ticks come each [`TICK`]. Never
    /// more than one a tick and worker; none if it is 0.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, per_second: u32, workers: NonZeroUsize) -> Option<Self> {
        let ticks_per_second =
            u32::try_from(Duration::from_secs(1).as_millis() / TICK.as_millis()).unwrap_or(1_000);
        let workers = u32::try_from(workers.get()).unwrap_or(u32::MAX);
        let every = workers.saturating_mul(ticks_per_second).checked_div(per_second)?;
        Some(Self { sink, every: every.clamp(1, PAUSE_TICKS_MAX) })
    }

    /// Samples what runs on this thread during `life`.
    pub fn during(&self, life: &mut dyn FnMut()) {
        WORKER.set(Some((Arc::clone(&self.sink), Pace::new(self.every, COST_PARTS))));
        life();
        WORKER.set(None);
    }
}

/// The pool's tick.
pub const TICK: Duration = Duration::from_millis(1);

/// When the next sample is due.
struct Pace {
    every: u32,
    cost_parts: u32,
    /// Ticks since the last sample.
    passed: u32,
    /// Ticks at which the next one is due.
    next: u32,
    dice: u32,
}

impl Pace {
    fn new(every: u32, cost_parts: u32) -> Self {
        // The address of a new thing differs from thread to thread and call to call: seed enough.
        let dice = (std::ptr::from_ref(&every).addr() >> 4) as u32 | 1;
        let mut pace = Self { every, cost_parts, passed: 0, next: every, dice };
        pace.next = pace.roll();
        pace
    }

    /// So many ticks have passed. How many a sample taken now stands for, if one is due.
    fn due(&mut self, ticks: u32) -> Option<u32> {
        self.passed = self.passed.saturating_add(ticks);
        (self.passed >= self.next).then(|| std::mem::take(&mut self.passed))
    }

    /// A sample has taken so much CPU time.
    fn took(&mut self, cost: Duration) {
        let pause = cost.saturating_mul(self.cost_parts).as_micros() / TICK.as_micros();
        let pause = u32::try_from(pause).unwrap_or(u32::MAX).min(PAUSE_TICKS_MAX);
        self.next = self.roll().max(pause);
    }

    /// About `every`, and that on average: not in step with what a guest does each so many ticks.
    fn roll(&mut self) -> u32 {
        // Knuth's linear congruential generator; its upper bits are good enough.
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let half = self.every / 2;
        self.every - half + (self.dice >> 8) % (2 * half + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_is_stood_for_and_the_pace_is_kept() {
        let mut pace = Pace::new(20, 100);
        let (mut samples, mut stood_for) = (0_u32, 0);
        for _ in 0..100_000 {
            if let Some(ticks) = pace.due(1) {
                (samples, stood_for) = (samples + 1, stood_for + ticks);
                pace.took(Duration::from_micros(10));
            }
        }
        assert!((4_800..=5_200).contains(&samples), "{samples}");
        assert!(100_000 - stood_for < 40, "{stood_for}");
        assert_eq!(Pace::new(1, 4).due(1), Some(1));
    }

    #[test]
    fn dear_samples_are_rare_ones() {
        let mut pace = Pace::new(20, 100);
        while pace.due(1).is_none() {}
        pace.took(Duration::from_millis(3));
        let ticks = (1..).find(|_| pace.due(1).is_some());
        assert_eq!(ticks, Some(300));
        pace.took(Duration::from_secs(1_000_000));
        assert_eq!(pace.due(PAUSE_TICKS_MAX), Some(PAUSE_TICKS_MAX));
    }

    #[test]
    fn the_rate_is_that_of_all_workers() {
        struct Nobody;
        impl Sink for Nobody {
            fn take(&self, _: &Sample<'_>) {}
        }
        let every = |per_second, workers| {
            Sampler::new(Arc::new(Nobody), per_second, NonZeroUsize::new(workers).expect("some"))
                .map(|s| s.every)
        };
        assert_eq!(every(200, 2), Some(10));
        assert_eq!(every(200, 64), Some(320));
        assert_eq!(every(100_000, 2), Some(1));
        assert_eq!(every(0, 2), None);
    }
}
