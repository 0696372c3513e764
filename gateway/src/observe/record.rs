//! What is kept of a call that has ended: sizes and times, never values.
//!
//! Each task keeps its last calls. What a guest printed and where it failed is kept for as many calls as
//! fit into one store for the whole process, the newest. Knows not who asks for it.

use crate::error::Kind;
use crate::task::{Phase, Timing};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// Its caller was told of a problem.
    Failed(Kind),
    /// Its caller went away before its end.
    Cancelled,
}

/// How many outcomes there are.
pub const OUTCOMES: usize = Kind::ALL.len() + 1;

impl Outcome {
    /// All of them, in the order of [`Outcome::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Ok).chain(Kind::ALL.into_iter().map(|kind| match kind {
            Kind::Cancelled => Self::Cancelled,
            kind => Self::Failed(kind),
        }))
    }

    /// Its place among all of them.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Failed(kind) => kind as usize + 1,
            Self::Cancelled => Kind::Cancelled as usize + 1,
        }
    }

    /// Its name: `ok`, or that of the problem.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(kind) => kind.slug(),
            Self::Cancelled => Kind::Cancelled.slug(),
        }
    }
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id.
    pub id: Arc<str>,
    /// The function's name; empty for a task of streams.
    pub function: Arc<str>,
    /// The digest of the module that served it.
    pub digest: Arc<str>,
    /// When it came.
    pub started: SystemTime,
    /// How it ended.
    pub outcome: Outcome,
    /// Where its time went.
    pub timing: Timing,
    /// From its arrival to its end.
    pub total: Duration,
    /// The most bytes of memories and tables that its run held at once.
    pub memory_bytes: u64,
    /// Bytes of its request's body and parameters.
    pub received_bytes: u64,
    /// Bytes of its result.
    pub sent_bytes: u64,
    /// Slices of its run.
    pub slices: u32,
    /// How often its run gave way to something better.
    pub preemptions: u32,
    /// The level its run ended on.
    pub level: usize,
    /// What it said.
    pub words: Option<Arc<Kept>>,
}

/// What a call left in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The phase it failed in.
    pub phase: Option<Phase>,
    /// The limit it ran into.
    pub limit: Option<(&'static str, String)>,
    /// The guest's functions at its failure, the innermost first.
    pub backtrace: Vec<String>,
    /// The last lines of its standard output.
    pub stdout: Option<String>,
    /// The last lines of its standard error.
    pub stderr: Option<String>,
}

impl Words {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
        let frames: usize = self.backtrace.iter().map(|frame| frame.capacity() + size_of::<String>()).sum();
        size_of::<Self>() + text(&self.stdout) + text(&self.stderr) + frames
    }
}

/// The words that are kept, of all tasks: the newest that fit. A record holds its own, and they go with it.
#[derive(Debug)]
pub struct Shelf {
    bytes_max: usize,
    held: Arc<Held>,
    /// The oldest first; those whose record is gone are swept out now and then.
    order: Mutex<VecDeque<Weak<Kept>>>,
}

/// What is on the shelf.
#[derive(Debug, Default)]
struct Held {
    bytes: AtomicUsize,
    count: AtomicUsize,
}

/// The words of one call, until there is no room for them any more.
#[derive(Debug)]
pub struct Kept {
    words: Mutex<Option<Words>>,
    bytes: usize,
    held: Arc<Held>,
}

/// Entries of the shelf's order that are never swept.
const UNSWEPT_MAX: usize = 64;

impl Kept {
    /// The words, if they are kept still.
    #[must_use]
    pub fn words(&self) -> Option<Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self) {
        if self.words.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.forget();
        self.held.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shelf {
    /// A shelf for so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Arc::default(), order: Mutex::default() }
    }

    /// Keeps the words of a call for as long as there is room, and as what is returned is held.
    #[must_use]
    pub fn put(&self, words: Words) -> Option<Arc<Kept>> {
        if words.is_empty() {
            return None;
        }
        let bytes = words.bytes();
        let kept = Arc::new(Kept { words: Mutex::new(Some(words)), bytes, held: Arc::clone(&self.held) });
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.held.count.fetch_add(1, Ordering::Relaxed);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.push_back(Arc::downgrade(&kept));
        while self.held.bytes.load(Ordering::Relaxed) > self.bytes_max {
            let Some(oldest) = order.pop_front() else { break };
            if let Some(oldest) = oldest.upgrade() {
                oldest.forget();
            }
        }
        if order.len() > UNSWEPT_MAX + 2 * self.held.count.load(Ordering::Relaxed) {
            order.retain(|kept| kept.strong_count() > 0);
        }
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        for (index, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcome.index(), index, "{outcome:?}");
        }
        assert_eq!(Outcome::all().count(), OUTCOMES);
    }

    fn said(text: &str) -> Words {
        Words { stderr: Some(text.repeat(1000)), ..Words::default() }
    }

    #[test]
    fn the_newest_words_are_kept() {
        let shelf = Shelf::new(5_000);
        assert!(shelf.put(Words::default()).is_none(), "nothing was said");
        let kept: Vec<Arc<Kept>> =
            ["a", "b", "c", "d", "e", "f"].iter().filter_map(|text| shelf.put(said(text))).collect();
        let there: Vec<bool> = kept.iter().map(|kept| kept.words().is_some()).collect();
        assert_eq!(there, [false, false, true, true, true, true]);
        let long = shelf.put(said(&"x".repeat(10)));
        assert!(long.is_some_and(|kept| kept.words().is_none()), "too long for any room");
    }

    #[test]
    fn words_go_with_their_record() {
        let shelf = Shelf::new(1 << 20);
        let first = shelf.put(said("first"));
        for _ in 0..10_000 {
            drop(shelf.put(said("more")));
        }
        assert!(first.as_ref().is_some_and(|kept| kept.words().is_some()), "nothing pushed it out");
        assert_eq!(shelf.held.count.load(Ordering::Relaxed), 1);
        let order = shelf.order.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(order.len() <= UNSWEPT_MAX + 3, "{} entries", order.len());
        drop((order, first));
        assert_eq!(shelf.held.bytes.load(Ordering::Relaxed), 0);
    }
}
