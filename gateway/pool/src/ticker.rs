//! The one ticker thread: makes running slices ask for their verdict every tick, and fires the
//! deadlines of runs that don't run. One for all queues of a pool.
//!
//! Ticks only while slices run; after a few ticks with nothing running it sleeps without
//! time-out, or until the next deadline, and costs nothing. Starting a slice wakes it only if it
//! sleeps, which the queue's state says under the lock that is held anyway. Must not know how
//! runs are ordered or polled.

use crate::clock::NEVER_NS;
use crate::levels::Key;
use crate::peers::{Peers, roll};
use crate::shared::{Effects, Shared};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Ticks with nothing running before the ticker sleeps: long enough that calls at 1,000/s
/// find it awake, short enough to be free when nobody calls.
const IDLE_TICKS_MAX: u32 = 16;

/// Below this many entries a sweep isn't worth it.
const SWEEP_ENTRIES_MIN: usize = 1024;

/// Deadlines of runs that wait or are parked, earliest first. An entry is void once its run has
/// gone or has a different one armed; void ones are skipped when due and swept when they are
/// more than half.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, Key)>>,
    void: usize,
}

impl Deadlines {
    pub(crate) fn push(&mut self, at_ns: u64, key: Key) {
        self.heap.push(Reverse((at_ns, key)));
    }

    /// An entry lost its meaning. `true`: time to [`Deadlines::sweep`].
    pub(crate) fn voided(&mut self) -> bool {
        self.void += 1;
        self.heap.len() >= SWEEP_ENTRIES_MIN && self.void > self.heap.len() / 2
    }

    pub(crate) fn sweep(&mut self, mut armed: impl FnMut(u64, Key) -> bool) {
        self.heap.retain(|&Reverse((at_ns, key))| armed(at_ns, key));
        self.void = 0;
    }

    pub(crate) fn next_ns(&self) -> u64 {
        self.heap.peek().map_or(NEVER_NS, |e| e.0.0)
    }

    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<(u64, Key)> {
        if self.next_ns() > now_ns {
            return None;
        }
        self.heap.pop().map(|e| e.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

/// One look at one queue.
struct Seen {
    busy: bool,
    /// Slices handed out since the pool was made.
    slices: u64,
}

/// Fires what is due in a queue.
fn look(queue: &Shared, now_ns: u64) -> Seen {
    loop {
        let mut fx = Effects::default();
        let mut state = queue.lock();
        state.ticker_asleep = false;
        let more = state.fire_due(queue, now_ns, &mut fx);
        let busy = state.levels.running() > 0;
        let slices = state.slices;
        if busy {
            state.interrupt_pending = false;
        }
        drop(state);
        queue.apply(fx);
        if !more {
            return Seen { busy, slices };
        }
    }
}

/// Before the long sleep: from now on a slice that starts, or an earlier deadline, wakes the ticker.
/// `None`: something runs already. Otherwise the next deadline.
fn retreat(queue: &Shared) -> Option<u64> {
    let mut state = queue.lock();
    if state.levels.running() > 0 {
        return None;
    }
    state.ticker_asleep = true;
    state.ticker_until_ns = state.deadlines.next_ns();
    Some(state.ticker_until_ns)
}

pub(crate) fn run(peers: &Peers, queues: &[Arc<Shared>]) {
    let _ = peers.ticker_thread.set(thread::current());
    let tick_ns = peers.tick_ns;
    let mut next_tick_ns = peers.clock.now_ns();
    let mut idle_ticks: u32 = 0;
    let mut slices_seen = 0;
    let mut woken = true;
    while !peers.ticker_exit.load(Ordering::Acquire) {
        let now_ns = peers.clock.now_ns();
        let (mut busy, mut slices) = (false, 0_u64);
        for queue in queues {
            let seen = look(queue, now_ns);
            busy |= seen.busy;
            slices = slices.wrapping_add(seen.slices);
        }
        if busy || slices != slices_seen {
            idle_ticks = 0;
        } else {
            idle_ticks = idle_ticks.saturating_add(1);
        }
        slices_seen = slices;
        if busy {
            // What woke it is the start of a slice: no moment that tells anything of what runs.
            if !woken {
                peers.ticked_ns.store(now_ns, Ordering::Relaxed);
            }
            peers.interrupt_all();
        }
        let until_ns = if idle_ticks > IDLE_TICKS_MAX {
            queues.iter().map(|queue| retreat(queue)).try_fold(NEVER_NS, |least, at| Some(least.min(at?)))
        } else {
            None
        };
        let sleep_ns = match until_ns {
            Some(NEVER_NS) => NEVER_NS,
            Some(until_ns) => until_ns.saturating_sub(now_ns),
            None => {
                next_tick_ns = next_tick_ns.saturating_add(tick_ns);
                if next_tick_ns <= now_ns || next_tick_ns > now_ns.saturating_add(tick_ns) {
                    // Late, or just out of a long sleep: no burst of ticks to catch up. Then any moment, so
                    // that short slices that wake the ticker see a tick as often as others.
                    let after_ns = if woken { u64::from(roll()) % tick_ns } else { tick_ns };
                    next_tick_ns = now_ns.saturating_add(after_ns.max(1));
                }
                next_tick_ns - now_ns
            }
        };
        woken = until_ns.is_some();
        if sleep_ns == NEVER_NS {
            thread::park();
        } else if sleep_ns > 0 {
            thread::park_timeout(Duration::from_nanos(sleep_ns));
        }
    }
}
