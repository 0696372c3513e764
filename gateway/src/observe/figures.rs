//! The numbers of one task, over all of its versions, and its last calls.
//!
//! All of them change together at the end of a call, behind one lock that is held for some dozen
//! additions. Knows not where they are shown.

use super::histogram::Histogram;
use super::record::{OUTCOMES, Outcome, Record};
use crate::task::TaskName;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Functions of a task that are counted apart; further ones count together. Versions of a task that come
/// and go with functions of other names add up.
const FUNCTIONS_MAX: usize = 200;

/// Bytes of a function's name that is counted apart: a module may export names of any length.
const NAME_BYTES_MAX: usize = 128;

/// The name under which further functions count.
const OTHERS: &str = "(others)";

/// See the file's page.
#[derive(Debug)]
pub struct Figures {
    name: TaskName,
    number: u64,
    calls: AtomicU64,
    running: AtomicU64,
    tally: Mutex<Tally>,
    records: Mutex<VecDeque<Record>>,
}

/// What became of a task's calls that have ended.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Calls that failed, and whose callers were told why.
    pub errors: u64,
    /// Calls whose callers went away before the end.
    pub cancelled: u64,
    /// Time from arrival to end of the calls that have ended.
    pub total: Histogram,
    /// Sum of each phase.
    pub phases: Phases<Duration>,
    /// Bytes of requests.
    pub received_bytes: u64,
    /// Bytes of results.
    pub sent_bytes: u64,
    /// The most bytes of memories and tables that a run held at once.
    pub memory_bytes_max: u64,
    /// Slices of runs.
    pub slices: u64,
    /// How often runs gave way to something better.
    pub preemptions: u64,
    /// The outcomes of each function.
    pub functions: Vec<Function>,
}

/// One value for each phase of a call, and for its CPU time.
#[derive(Clone, Debug, Default)]
pub struct Phases<T> {
    /// See [`crate::task::Timing::queue`].
    pub queue: T,
    /// See [`crate::task::Timing::instantiate`].
    pub instantiate: T,
    /// See [`crate::task::Timing::run`].
    pub run: T,
    /// See [`crate::task::Timing::encode`].
    pub encode: T,
    /// See [`crate::task::Timing::cpu`].
    pub cpu: T,
}

impl<T> Phases<T> {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, &T); 5] {
        [
            ("queue", &self.queue),
            ("instantiate", &self.instantiate),
            ("run", &self.run),
            ("encode", &self.encode),
            ("cpu", &self.cpu),
        ]
    }
}

/// What became of the calls of a function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name; empty for a task of streams.
    pub name: Arc<str>,
    /// Calls by [`Outcome::index`].
    pub outcomes: [u64; OUTCOMES],
}

/// A function's place among those of its task, the same for all versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The name under which its calls count; empty for a task of streams.
    pub name: Arc<str>,
    index: usize,
}

impl Figures {
    /// The figures of a task that was never called.
    #[must_use]
    pub fn new(name: TaskName) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            name,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            calls: AtomicU64::new(0),
            running: AtomicU64::new(0),
            tally: Mutex::default(),
            records: Mutex::default(),
        })
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// What tells it from the figures of all other tasks, also of one that had its name before it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Calls that have come.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls in flight now.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.with(|tally| tally.clone())
    }

    /// Looks at the numbers without copying all of them. Nothing else ends a call meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last calls that have ended, the newest first.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().cloned().collect()
    }

    /// The last call of that id that has ended.
    #[must_use]
    pub fn record(&self, id: &str) -> Option<Record> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().find(|record| &*record.id == id).cloned()
    }

    /// Where a function counts, by its name.
    #[must_use]
    pub fn function(&self, name: &str) -> Counted {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let functions = &mut tally.functions;
        let place = |functions: &[Function], name: &str| functions.iter().position(|f| &*f.name == name);
        let fits = name.len() <= NAME_BYTES_MAX && functions.len() < FUNCTIONS_MAX;
        let name = if fits || place(functions, name).is_some() { name } else { OTHERS };
        let index = place(functions, name).unwrap_or_else(|| {
            functions.push(Function { name: name.into(), outcomes: [0; OUTCOMES] });
            functions.len() - 1
        });
        let name = functions.get(index).map(|function| Arc::clone(&function.name)).unwrap_or_default();
        Counted { name, index }
    }

    pub(super) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call's end.
    pub(super) fn end(&self, function: &Counted, record: &Record) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match record.outcome {
            Outcome::Ok => {}
            Outcome::Failed(_) => tally.errors += 1,
            Outcome::Cancelled => tally.cancelled += 1,
        }
        tally.total.record(record.total);
        let (sum, of) = (&mut tally.phases, &record.timing);
        sum.queue += of.queue;
        sum.instantiate += of.instantiate;
        sum.run += of.run;
        sum.encode += of.encode;
        sum.cpu += of.cpu;
        tally.received_bytes += record.received_bytes;
        tally.sent_bytes += record.sent_bytes;
        tally.memory_bytes_max = tally.memory_bytes_max.max(record.memory_bytes);
        tally.slices += u64::from(record.slices);
        tally.preemptions += u64::from(record.preemptions);
        let outcomes = tally.functions.get_mut(function.index).map(|function| &mut function.outcomes);
        if let Some(count) = outcomes.and_then(|outcomes| outcomes.get_mut(record.outcome.index())) {
            *count += 1;
        }
        drop(tally);
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Keeps a record, the last `most` of them.
    pub(super) fn keep(&self, record: Record, most: usize) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= most {
            records.pop_front();
        }
        records.push_back(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_keep_their_place_and_are_bounded() {
        let figures = Figures::new(TaskName::new("many").expect("a name"));
        let first = figures.function("f0");
        for index in 0..1000 {
            let _ = figures.function(&format!("f{index}"));
        }
        assert_eq!(figures.function("f0"), first);
        assert_eq!(figures.function("f998"), figures.function("f999"), "counted together");
        let names: Vec<Arc<str>> = figures.tally().functions.into_iter().map(|f| f.name).collect();
        assert_eq!((names.len(), names.last().map(|name| &**name)), (FUNCTIONS_MAX + 1, Some(OTHERS)));
        let figures = Figures::new(TaskName::new("long").expect("a name"));
        let long = figures.function(&"x".repeat(NAME_BYTES_MAX + 1));
        assert_eq!((&*long.name, figures.function(&"y".repeat(9_999))), (OTHERS, long.clone()));
        assert_eq!(figures.function("short").index, 1);
    }
}
