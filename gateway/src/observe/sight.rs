//! The calls in flight at one moment, as whoever watches wants them: who is on which worker, the oldest,
//! and the processor time of each task's calls so far.
//!
//! One pass over all of them, which copies only those it shows. Knows not who asks.

use super::live::{Call, Live};
use crate::task::TaskName;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use unblock_pool::{Glance, Standing};

/// Calls that are listed, the oldest first.
pub const CALLS_MAX: usize = 20;

/// See the file's page.
#[derive(Debug)]
pub struct Sight {
    /// When it was.
    pub at: Instant,
    /// How many there were.
    pub in_flight: usize,
    /// The oldest of them, at most [`CALLS_MAX`].
    pub oldest: Vec<Call>,
    /// By the worker's number.
    pub workers: Vec<Option<(Call, Glance)>>,
    cpu: HashMap<TaskName, Duration>,
}

impl Sight {
    /// Looks at all calls. So many workers there are.
    #[must_use]
    pub fn of(live: &Live, workers: usize) -> Self {
        let at = Instant::now();
        let mut sight = Self {
            at,
            in_flight: 0,
            oldest: Vec::with_capacity(CALLS_MAX),
            workers: vec![None; workers],
            cpu: HashMap::new(),
        };
        live.each(|call| sight.see(call));
        sight.oldest.sort_by_key(|call| call.arrived);
        sight
    }

    /// Processor time that the task's calls in flight had taken.
    #[must_use]
    pub fn cpu(&self, task: &TaskName) -> Duration {
        self.cpu.get(task).copied().unwrap_or_default()
    }

    fn see(&mut self, call: &Call) {
        self.in_flight += 1;
        if self.oldest.len() < CALLS_MAX {
            self.oldest.push(call.clone());
        } else if let Some(last) = self.oldest.iter_mut().max_by_key(|kept| kept.arrived)
            && call.arrived < last.arrived
        {
            *last = call.clone();
        }
        let Some(glance) = call.observed.glance() else { return };
        if let Some(sum) = self.cpu.get_mut(&call.task) {
            *sum += glance.cpu;
        } else {
            self.cpu.insert(call.task.clone(), glance.cpu);
        }
        if let Standing::Running { worker } = glance.standing
            && let Some(place) = self.workers.get_mut(worker)
        {
            *place = Some((call.clone(), glance));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Observed;

    #[test]
    fn the_oldest_of_many_are_listed_in_order() {
        let live = Live::default();
        let start = Instant::now();
        // In an order that is neither the one nor the other.
        for index in 0..100_u64 {
            let age = Duration::from_millis((index * 37) % 100);
            let id = format!("{}", (index * 37) % 100);
            let task = TaskName::new("t").expect("a name");
            let observed = Observed::of(id.as_str().into());
            live.enter(Call { task, function: "f".into(), arrived: start + age, observed });
        }
        let sight = Sight::of(&live, 2);
        let ids: Vec<String> = sight.oldest.iter().map(|call| call.observed.id().to_string()).collect();
        assert_eq!(ids, (0..CALLS_MAX).map(|id| id.to_string()).collect::<Vec<_>>());
        assert_eq!((sight.in_flight, sight.workers.len()), (100, 2));
        assert!(sight.workers.iter().all(Option::is_none), "nothing runs");
    }
}
