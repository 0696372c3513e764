//! The calls in flight.
//!
//! A table in several parts, each behind its own lock, since every call enters and leaves it. Knows not
//! how a call is made.

use crate::runtime::Observed;
use crate::task::TaskName;
use slab::Slab;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Parts of the table: threads that serve HTTP rarely meet in one.
const PARTS: usize = 16;

/// A call in flight.
#[derive(Clone, Debug)]
pub struct Call {
    /// The task's name.
    pub task: TaskName,
    /// The function's name; empty for a task of streams.
    pub function: Arc<str>,
    /// When it came.
    pub arrived: Instant,
    /// What can be seen of its run, and its id.
    pub observed: Observed,
}

/// See the file's page.
#[derive(Debug, Default)]
pub struct Live([Mutex<Slab<Call>>; PARTS]);

/// A call's place in the table.
#[derive(Debug)]
pub struct Place {
    part: usize,
    key: usize,
}

impl Live {
    /// Enters a call. It must leave again.
    pub fn enter(&self, call: Call) -> Place {
        let part = part();
        let key = match self.0.get(part) {
            Some(slab) => slab.lock().unwrap_or_else(PoisonError::into_inner).insert(call),
            None => 0,
        };
        Place { part, key }
    }

    /// Takes a call out.
    pub fn leave(&self, place: &Place) -> Option<Call> {
        let mut slab = self.0.get(place.part)?.lock().unwrap_or_else(PoisonError::into_inner);
        slab.try_remove(place.key)
    }

    /// The calls of this moment that `pick` takes, the oldest first, at most `most`; and how many it took in
    /// all.
    pub fn list(&self, most: usize, pick: impl Fn(&Call) -> bool) -> (Vec<Call>, usize) {
        let mut calls = Vec::new();
        for part in &self.0 {
            let slab = part.lock().unwrap_or_else(PoisonError::into_inner);
            calls.extend(slab.iter().map(|(_, call)| call).filter(|call| pick(call)).cloned());
        }
        let all = calls.len();
        if all > most && most > 0 {
            calls.select_nth_unstable_by_key(most - 1, |call| call.arrived);
        }
        calls.truncate(most);
        calls.sort_by_key(|call| call.arrived);
        (calls, all)
    }

    /// Looks at every call of this moment, without copying it. Calls of one part wait meanwhile.
    pub fn each(&self, mut look: impl FnMut(&Call)) {
        for part in &self.0 {
            let slab = part.lock().unwrap_or_else(PoisonError::into_inner);
            slab.iter().for_each(|(_, call)| look(call));
        }
    }

    /// The oldest of that id.
    pub fn find(&self, id: &str) -> Option<Call> {
        self.list(1, |call| &**call.observed.id() == id).0.pop()
    }
}

/// The part that this thread uses.
pub(super) fn part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: usize = NEXT.fetch_add(1, Ordering::Relaxed) % PARTS;
    }
    PART.with(|part| *part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_and_go_and_the_oldest_are_listed() {
        let live = Live::default();
        let call = |id: &str| Call {
            task: TaskName::new("t").expect("a name"),
            function: "f".into(),
            arrived: Instant::now(),
            observed: Observed::of(id.into()),
        };
        let places: Vec<Place> = ["a", "b", "c", "d"].iter().map(|id| live.enter(call(id))).collect();
        let ids = |most| -> (Vec<String>, usize) {
            let (calls, all) = live.list(most, |_| true);
            (calls.iter().map(|call| call.observed.id().to_string()).collect(), all)
        };
        assert_eq!(ids(2), (vec!["a".to_owned(), "b".to_owned()], 4));
        assert!(live.find("c").is_some() && live.find("x").is_none());
        for place in &places {
            assert!(live.leave(place).is_some());
        }
        assert_eq!(ids(9), (vec![], 0));
    }
}
