//! What HTTP answered: responses by class, problems by kind, connections.
//!
//! Calls that reach no task are seen here only. Every response is counted, so the counters lie in
//! parts, one for the threads of each. Knows not what is answered when.

use super::live;
use crate::error::Kind;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of the counters: threads that serve HTTP rarely meet in one.
const PARTS: usize = 8;

/// Classes of statuses: 1xx to 5xx.
pub const CLASSES: usize = 5;

/// See the file's page.
#[derive(Debug, Default)]
pub struct Answers {
    parts: [Part; PARTS],
    accepted: AtomicU64,
    closed: AtomicU64,
}

/// On cache lines of its own, two of them, which processors fetch together.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    classes: [AtomicU64; CLASSES],
    problems: [AtomicU64; Kind::ALL.len()],
}

impl Default for Part {
    fn default() -> Self {
        Self { classes: Default::default(), problems: [const { AtomicU64::new(0) }; Kind::ALL.len()] }
    }
}

/// The numbers of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Responses by the first digit of their status: the first is 1xx.
    pub classes: [u64; CLASSES],
    /// Problems, in the order of [`Kind::ALL`].
    pub problems: Vec<u64>,
}

impl Answers {
    /// A response was made, of that status and that kind of problem.
    pub fn answered(&self, status: u16, problem: Option<Kind>) {
        let Some(part) = self.parts.get(live::part() % PARTS) else { return };
        let class = usize::from(status / 100).saturating_sub(1);
        let problem = problem.and_then(|kind| part.problems.get(kind as usize));
        for count in part.classes.get(class).into_iter().chain(problem) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection was accepted.
    pub fn opened(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was accepted is gone.
    pub fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn read(&self) -> Answered {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut answered = Answered { problems: vec![0; Kind::ALL.len()], ..Answered::default() };
        for part in &self.parts {
            answered.classes.iter_mut().zip(&part.classes).for_each(|(sum, count)| *sum += of(count));
            answered.problems.iter_mut().zip(&part.problems).for_each(|(sum, count)| *sum += of(count));
        }
        // In this order: one that comes and goes meanwhile is not missing from those accepted.
        let closed = of(&self.closed);
        answered.accepted = of(&self.accepted);
        answered.connections = answered.accepted.saturating_sub(closed);
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_counts_in_its_own_place() {
        let answers = Answers::default();
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            (0..=index).for_each(|_| answers.answered(500, Some(kind)));
        }
        let answers = &answers;
        std::thread::scope(|scope| {
            for status in [200, 204, 404, 999, 101] {
                scope.spawn(move || answers.answered(status, None));
            }
        });
        let problems: Vec<u64> = (1..=Kind::ALL.len() as u64).collect();
        let seen = answers.read();
        assert_eq!((seen.classes, &seen.problems), ([1, 2, 0, 1, problems.iter().sum()], &problems));
    }

    #[test]
    fn connections_come_and_go() {
        let answers = Answers::default();
        (0..3).for_each(|_| answers.opened());
        answers.closed();
        let seen = answers.read();
        assert_eq!((seen.connections, seen.accepted), (2, 3));
    }
}
