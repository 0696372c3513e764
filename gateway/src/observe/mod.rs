//! What is seen of calls: those in flight, those that have ended, and their numbers.
//!
//! [`Observer::begin`] is called once for each call, where it is made (`invoke`), and the [`Seen`] it
//! returns is told of the end. Everything else reads: pages, metrics, logs. Nothing of what callers sent
//! or got is kept but its size; what a guest printed is, for its operator.
//!
//! | file | owns |
//! |---|---|
//! | `live.rs` | the calls in flight |
//! | `record.rs` | what is kept of a call that has ended |
//! | `figures.rs` | the numbers of one task, and its last calls |
//! | `histogram.rs` | durations in buckets |
//! | `answers.rs` | what HTTP answered, whether or not it was about a call |
//! | `samples.rs` | where the guests of each task spend their time |
//! | `profile.rs` | where the guest of one call does |
//! | `stacks.rs`, `flame.rs` | stacks as a tree, and as a flame graph |
//! | `lines.rs` | the log's lines about calls |
//! | `window.rs` | the last two minutes, sampled |
//! | `sight.rs` | the calls in flight at one moment: who is on which worker, the oldest, their processor time |
//! | `resident.rs` | the memory of this process |

pub mod answers;
pub mod figures;
pub mod flame;
pub mod histogram;
pub mod lines;
pub mod live;
pub mod profile;
pub mod record;
mod resident;
pub mod samples;
pub mod sight;
pub mod stacks;
pub mod window;

pub use answers::{Answered, Answers};
pub use figures::{Counted, Figures, Phases, Tally};
pub use histogram::Histogram;
pub use lines::LogCalls;
pub use record::{Outcome, Record, Words};
pub use resident::resident_bytes;
pub use sight::Sight;
pub use window::Window;

use crate::error::{Error, Kind};
use crate::runtime::{Observed, Printed};
use crate::task::{Phase, Timing};
use crate::traces;
use lines::{About, Lines};
use live::Live;
use record::Shelf;
use samples::Samples;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Lines kept of each of a guest's output streams.
pub const LINES_MAX: usize = 40;

/// Bytes kept of each of a guest's output streams.
pub const PRINTED_BYTES_MAX: usize = 4 << 10;

/// Parts of the histograms: threads that serve HTTP rarely meet in one.
const PARTS: usize = 8;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls of each task of which a record is kept.
    pub records: usize,
    /// Bytes for what the calls of all tasks left in words.
    pub words_bytes: usize,
    /// Whether calls are counted in histograms by phase.
    pub histograms: bool,
    /// Samples of guests' stacks per second, of all tasks together.
    pub samples_per_second: u32,
    /// Which calls are logged.
    pub log_calls: LogCalls,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            records: 100,
            words_bytes: 16 << 20,
            histograms: true,
            samples_per_second: 200,
            log_calls: LogCalls::default(),
        }
    }
}

/// See the module's page.
#[derive(Debug)]
pub struct Observer {
    settings: Settings,
    live: Live,
    samples: Arc<Samples>,
    lines: Arc<Lines>,
    shelf: Shelf,
    phases: [Mutex<Phases<Histogram>>; PARTS],
}

/// What a call is known by.
pub struct Begin {
    /// The figures of its task.
    pub figures: Arc<Figures>,
    /// Where its function counts in them.
    pub function: Counted,
    /// The digest of the module.
    pub digest: Arc<str>,
    /// What can be seen of its run, and its id.
    pub observed: Observed,
}

/// How a call ended.
pub struct End<'a> {
    /// What its caller was told, if that was a problem.
    pub error: Option<&'a Error>,
    /// Where its time went.
    pub timing: Timing,
    /// The level its run ended on.
    pub level: usize,
}

impl Observer {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let shelf = Shelf::new(settings.words_bytes);
        let lines = Arc::new(Lines::new(settings.log_calls));
        Arc::new(Self {
            settings,
            live: Live::default(),
            samples: Arc::default(),
            lines,
            shelf,
            phases: Default::default(),
        })
    }

    /// The calls in flight.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Where the guests of each task spend their time.
    #[must_use]
    pub fn samples(&self) -> &Arc<Samples> {
        &self.samples
    }

    /// What is kept.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tells the log what it was not told of calls yet. To be called at the end.
    pub fn tell(&self) {
        self.lines.tell();
    }

    /// The phases of all calls that have ended.
    #[must_use]
    pub fn phases(&self) -> Phases<Histogram> {
        let mut sum = Phases::<Histogram>::default();
        for part in &self.phases {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            sum.queue.add(&part.queue);
            sum.instantiate.add(&part.instantiate);
            sum.run.add(&part.run);
            sum.encode.add(&part.encode);
            sum.cpu.add(&part.cpu);
        }
        sum
    }

    /// A call has come.
    #[must_use]
    pub fn begin(self: &Arc<Self>, begin: Begin) -> Seen {
        let Begin { figures, function, digest, observed } = begin;
        let (arrived, started) = (Instant::now(), SystemTime::now());
        let task = figures.name().clone();
        let name = Arc::clone(&function.name);
        let place = self.live.enter(live::Call { task, function: name, arrived, observed });
        figures.begin();
        let observer = Arc::clone(self);
        Seen { observer, figures, function, digest, place, started, ended: false }
    }
}

/// A call in flight. Dropped before it was told of an end, the call was cancelled.
#[derive(Debug)]
pub struct Seen {
    observer: Arc<Observer>,
    figures: Arc<Figures>,
    function: Counted,
    digest: Arc<str>,
    place: live::Place,
    started: SystemTime,
    ended: bool,
}

impl Seen {
    /// The call has ended.
    pub fn end(mut self, end: End<'_>) {
        self.ended = true;
        let outcome = end.error.map_or(Outcome::Ok, |error| Outcome::Failed(error.kind));
        self.finish(outcome, end);
    }

    fn finish(&self, outcome: Outcome, end: End<'_>) {
        let Some(call) = self.observer.live.leave(&self.place) else { return };
        let End { error, mut timing, level } = end;
        let total = call.arrived.elapsed();
        let glance = call.observed.glance();
        if outcome == Outcome::Cancelled {
            timing.cpu = glance.map_or(Duration::ZERO, |glance| glance.cpu);
            timing.run = glance.map_or(Duration::ZERO, |_| total);
        }
        let (received_bytes, sent_bytes) = call.observed.bytes();
        let mut record = Record {
            id: Arc::clone(call.observed.id()),
            function: call.function,
            digest: Arc::clone(&self.digest),
            started: self.started,
            outcome,
            timing,
            total,
            memory_bytes: call.observed.memory_bytes(),
            received_bytes,
            sent_bytes,
            slices: glance.map_or(0, |glance| glance.slices),
            preemptions: glance.map_or(0, |glance| glance.preemptions),
            level: glance.map_or(level, |glance| glance.level),
            words: None,
        };
        let settings = &self.observer.settings;
        if settings.histograms {
            self.observer.count(&record.timing);
        }
        self.figures.end(&self.function, &record);
        // Calls that were turned away would push out those that tell something.
        let keeps = settings.records > 0 && !turned_away(outcome, error);
        let printed = if keeps || self.observer.lines.printing() {
            call.observed.printed(LINES_MAX, PRINTED_BYTES_MAX)
        } else {
            Printed::default()
        };
        self.log(&call.observed, &record, error, (&printed, call.arrived + total));
        if let Some(trace) = call.observed.trace() {
            trace.ended(&ended(&record));
        }
        if keeps {
            record.words = self.observer.shelf.put(words(printed, error));
            self.figures.keep(record, settings.records);
        }
    }

    /// What its guest printed, then the call: a line each.
    fn log(
        &self,
        observed: &Observed,
        record: &Record,
        error: Option<&Error>,
        (printed, now): (&Printed, Instant),
    ) {
        let lines = &self.observer.lines;
        let takes = lines.takes(record.outcome, now);
        let said = (printed.stdout.is_some() || printed.stderr.is_some()) && lines.printing();
        if takes || said {
            let trace = observed.trace().map(traces::Call::trace_id);
            let about = About { task: self.figures.name().as_str(), record, error, trace };
            if said {
                lines.guest(&about, printed, now);
            }
            if takes {
                Lines::call(&about);
            }
        }
        lines.tell_soon();
    }
}

/// The same for its trace.
fn ended(record: &Record) -> traces::Ended {
    traces::Ended {
        started: record.started,
        total: record.total,
        timing: record.timing,
        outcome: record.outcome.as_str(),
        memory_bytes: record.memory_bytes,
        received_bytes: record.received_bytes,
        sent_bytes: record.sent_bytes,
        slices: record.slices,
        preemptions: record.preemptions,
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Outcome::Cancelled, End { error: None, timing: Timing::default(), level: 0 });
        }
    }
}

impl Observer {
    /// Counts the phases that a call reached: one that it did not took no time at all.
    fn count(&self, timing: &Timing) {
        let Some(part) = self.phases.get(live::part() % PARTS) else { return };
        let mut phases = part.lock().unwrap_or_else(PoisonError::into_inner);
        let Phases { queue, instantiate, run, encode, cpu } = &mut *phases;
        let taken = [
            (queue, timing.queue),
            (instantiate, timing.instantiate),
            (run, timing.run),
            (encode, timing.encode),
            (cpu, timing.cpu),
        ];
        for (histogram, duration) in taken.into_iter().filter(|(_, duration)| !duration.is_zero()) {
            histogram.record(duration);
        }
    }
}

/// Whether a call never got a slot.
fn turned_away(outcome: Outcome, error: Option<&Error>) -> bool {
    matches!(outcome, Outcome::Failed(Kind::QueueFull | Kind::MemoryFull | Kind::Draining))
        && error.is_some_and(|error| error.phase == Some(Phase::Queue))
}

/// What a call leaves in words.
fn words(printed: Printed, error: Option<&Error>) -> Words {
    let mut words = Words { stdout: printed.stdout, stderr: printed.stderr, ..Words::default() };
    if let Some(error) = error {
        words.phase = error.phase;
        words.limit = error.limit.clone();
        words.backtrace = error.backtrace.clone();
    }
    words
}
