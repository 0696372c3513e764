//! The always-on profile: samples of all tasks' guests over the last minutes.
//!
//! Workers hand in a sample now and then (`runtime`). They are kept in slots of half a minute, each with a
//! tree of stacks per task; the oldest slot goes as a whole. Bounded in bytes over all tasks: where that is
//! reached, what is known goes on being counted and nothing new is learnt. One lock for all of it, which is
//! taken a few hundred times a second, and not held while somebody looks at what is past.

use super::stacks::{Room, Stacks};
use crate::runtime::{Sample, Sink, TICK};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time that samples of one slot come from.
const SLOT: Duration = Duration::from_secs(30);

/// Slots that are kept beside the one under way: five minutes.
const SLOTS: u64 = 10;

/// Bytes of all slots.
const BYTES_MAX: usize = 16 << 20;

/// What a task has in a slot, and what it has in all of them.
const ROOM: Room = Room { functions: 1_000, places: 4_000 };

/// See the file's page.
#[derive(Debug)]
pub struct Samples {
    started: Instant,
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Those that nothing is added to any more, the oldest first: they are looked at without the lock.
    past: VecDeque<Arc<Slot>>,
    now: Slot,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Slot {
    number: u64,
    /// By the number of the task's figures.
    tasks: HashMap<u64, Stacks>,
    bytes: usize,
}

impl Default for Samples {
    fn default() -> Self {
        Self { started: Instant::now(), bytes_max: BYTES_MAX, kept: Mutex::default() }
    }
}

impl Kept {
    /// Goes on to the slot of that time, unless it is past it, and lets go what is too old.
    fn go_on(&mut self, number: u64) {
        if self.now.number < number {
            let full = std::mem::replace(&mut self.now, Slot { number, ..Slot::default() });
            self.past.push_back(Arc::new(full));
        }
        while let Some(oldest) = self.past.front().filter(|slot| slot.number + SLOTS < number) {
            self.bytes -= oldest.bytes;
            self.past.pop_front();
        }
    }
}

impl Samples {
    /// The samples of a task, by the number of its figures, and the time that they are of.
    #[must_use]
    pub fn of(&self, task: u64) -> (Stacks, Duration) {
        self.at(self.started.elapsed(), task)
    }

    fn at(&self, now: Duration, task: u64) -> (Stacks, Duration) {
        let number = slot(now);
        let mut all = Stacks::new(ROOM);
        let past: Vec<Arc<Slot>> = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.go_on(number);
            if let Some(stacks) = kept.now.tasks.get(&task) {
                all.merge(stacks);
            }
            kept.past.iter().cloned().collect()
        };
        for stacks in past.iter().filter_map(|slot| slot.tasks.get(&task)) {
            all.merge(stacks);
        }
        let since = SLOT * u32::try_from(number.saturating_sub(SLOTS)).unwrap_or(u32::MAX);
        (all, now.saturating_sub(since))
    }

    fn put(&self, now: Duration, sample: &Sample<'_>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock was read before the lock was taken: a late sample is as good in the next slot.
        kept.go_on(slot(now));
        let full = kept.bytes >= self.bytes_max;
        let stacks = kept.now.tasks.entry(sample.task).or_insert_with(|| Stacks::new(ROOM));
        let before = stacks.bytes();
        if full {
            stacks.close();
        }
        let micros = u64::from(sample.ticks) * micros(TICK);
        stacks.add(&sample.frames, sample.cut, micros);
        let more = stacks.bytes() - before;
        kept.now.bytes += more;
        kept.bytes += more;
    }
}

impl Sink for Samples {
    fn take(&self, sample: &Sample<'_>) {
        self.put(self.started.elapsed(), sample);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn slot(now: Duration) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Frame;

    fn put(samples: &Samples, at_s: u64, task: u64, function: u32) {
        let name = format!("f{function}");
        let frames = vec![Frame::of(function, Some(&name))];
        let sample = Sample { task, ticks: 10, cpu: Duration::ZERO, frames, cut: false };
        samples.put(Duration::from_secs(at_s), &sample);
    }

    fn seen(samples: &Samples, at_s: u64, task: u64) -> (Vec<String>, u64, u64) {
        let (stacks, window) = samples.at(Duration::from_secs(at_s), task);
        let mut names: Vec<String> = stacks.functions().iter().map(|share| share.name.to_string()).collect();
        names.sort();
        (names, stacks.micros() / 1_000, window.as_secs())
    }

    #[test]
    fn each_task_has_the_samples_of_the_last_minutes() {
        let samples = Samples::default();
        put(&samples, 1, 7, 1);
        put(&samples, 2, 8, 2);
        put(&samples, 100, 7, 3);
        assert_eq!(seen(&samples, 101, 7), (vec!["f1".into(), "f3".into()], 20, 101));
        assert_eq!(seen(&samples, 101, 8), (vec!["f2".into()], 10, 101));
        assert_eq!(seen(&samples, 329, 7), (vec!["f1".into(), "f3".into()], 20, 329));
        assert_eq!(seen(&samples, 330, 7), (vec!["f3".into()], 10, 300));
        assert_eq!(seen(&samples, 1_000, 7), (vec![], 0, 310));
        assert_eq!(samples.kept.lock().expect("the lock").bytes, 0);
    }

    #[test]
    fn a_slot_is_never_older_than_one_before_it() {
        let samples = Samples::default();
        put(&samples, 31, 7, 1);
        put(&samples, 29, 7, 2);
        assert_eq!(seen(&samples, 32, 7).1, 20);
        assert_eq!(samples.kept.lock().expect("the lock").past.len(), 1, "the empty first one");
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_known_still_counts() {
        let samples = Samples { bytes_max: 20_000, ..Samples::default() };
        for function in 0..10_000 {
            put(&samples, 1, u64::from(function % 3), function);
        }
        assert!(samples.kept.lock().expect("the lock").bytes < 30_000);
        let ticks: u64 = (0..3).map(|task| seen(&samples, 1, task).1).sum();
        assert_eq!(ticks, 100_000);
    }
}
