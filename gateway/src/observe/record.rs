//! What is kept of a call that has ended: sizes and times, never values.
//!
//! Each task keeps its last calls. What a guest printed and where it failed is kept for as many calls as
//! fit into one store for the whole process, the newest. Knows not who asks for it.

use crate::error::Kind;
use crate::task::{Phase, Timing};
use std::collections::VecDeque;
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
    /// What it said, if that is kept still.
    pub words: Weak<Words>,
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

/// The words that are kept, of all tasks: the newest that fit.
#[derive(Debug)]
pub struct Shelf {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    words: VecDeque<Arc<Words>>,
    bytes: usize,
}

impl Shelf {
    /// A shelf for so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// Keeps the words of a call for as long as there is room.
    #[must_use]
    pub fn put(&self, words: Words) -> Weak<Words> {
        if words.is_empty() {
            return Weak::new();
        }
        let words = Arc::new(words);
        let weak = Arc::downgrade(&words);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += words.bytes();
        kept.words.push_back(words);
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.words.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.bytes());
        }
        weak
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

    #[test]
    fn the_newest_words_are_kept() {
        let said = |text: &str| Words { stderr: Some(text.repeat(1000)), ..Words::default() };
        let shelf = Shelf::new(5_000);
        assert!(shelf.put(Words::default()).upgrade().is_none(), "nothing was said");
        let words: Vec<Weak<Words>> = ["a", "b", "c", "d", "e", "f"].map(|text| shelf.put(said(text))).into();
        let kept: Vec<bool> = words.iter().map(|words| words.upgrade().is_some()).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 4, "{kept:?}");
        assert_eq!(kept.first(), Some(&false));
        assert!(shelf.put(said(&"x".repeat(10))).upgrade().is_none(), "too long for any room");
    }
}
