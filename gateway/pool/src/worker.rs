//! A worker thread: take a run, poll one slice, take the next; without work spin briefly, then
//! sleep until it is called.
//!
//! Must not know which run is next or why: it asks the shared state.

use crate::clock::{Clocks, SHORT_SLICE_NS, thread_cpu_ns};
use crate::levels::Taken;
use crate::run::{By, poll_slice};
use crate::shared::{Next, Ready, Shared, Visited};
use crate::sync::Signal;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Nanoseconds that may be counted by the wall clock before the CPU clock is read again: what a slice is
/// charged is never further from its CPU time than this.
const RECKONED_NS_MAX: u64 = 200_000;

/// Looks at the signal between two looks at the clock while spinning.
const SPINS_PER_CLOCK: u32 = 32;

/// Workers that may spin at once: a second one finds nothing the first doesn't.
const SPINNERS_MAX: usize = 1;

/// A worker spins only if its last idle time was at most this many spins long. Where work comes
/// rarely, spinning catches none of it and keeps the core from the thread that takes the result.
const IDLE_SPINS_MAX: u64 = 4;

/// A worker's clocks and habits.
struct Worker {
    by: By,
    /// Up to where its time is charged to somebody: the end of a slice is the start of the next.
    charged: Clocks,
    /// What was counted by the wall clock since the CPU clock was last read.
    reckoned_ns: u64,
    idle_since_ns: Option<u64>,
    spinning_pays: bool,
}

impl Worker {
    fn new(by: By) -> Self {
        Self {
            by,
            charged: Clocks { wall_ns: 0, cpu_ns: 0 },
            reckoned_ns: RECKONED_NS_MAX,
            idle_since_ns: None,
            spinning_pays: false,
        }
    }

    /// Polls a slice. Returns the CPU time it took, as far as that is known.
    fn poll(&mut self, home: &Shared, ready: Ready, taken: &Taken) -> u64 {
        let now_ns = home.clock.now_ns();
        if self.reckoned_ns >= RECKONED_NS_MAX {
            self.charged = Clocks { wall_ns: now_ns, cpu_ns: thread_cpu_ns() };
            self.reckoned_ns = 0;
        } else if self.idle_since_ns.is_some() {
            self.charged.wall_ns = now_ns;
        }
        if let Some(since_ns) = self.idle_since_ns.take() {
            let idle_ns = now_ns.saturating_sub(since_ns);
            self.spinning_pays = idle_ns <= home.spin_ns.saturating_mul(IDLE_SPINS_MAX);
        }
        let Some(end) = poll_slice(ready, taken, self.by, now_ns, self.charged) else {
            self.reckoned_ns = RECKONED_NS_MAX;
            return 0;
        };
        let used_ns = end.cpu_ns.saturating_sub(self.charged.cpu_ns);
        self.reckoned_ns = if used_ns < SHORT_SLICE_NS { self.reckoned_ns + used_ns } else { 0 };
        self.charged = end;
        used_ns
    }

    /// Without work from now on.
    fn idle(&mut self, home: &Shared) {
        // What is spent so is nobody's, and is not counted.
        self.reckoned_ns = self.reckoned_ns.saturating_add(home.spin_ns);
        self.idle_since_ns = self.idle_since_ns.or_else(|| Some(home.clock.now_ns()));
    }

    /// Goes to another queue for a slice, if it has one still.
    fn visit(&mut self, home: &Shared, queue: Option<&Arc<Shared>>) -> Visited {
        let slice = queue.and_then(|queue| queue.visit());
        slice.map_or(Visited { level: 0, used_ns: 0 }, |(ready, taken)| Visited {
            level: taken.level,
            used_ns: self.poll(home, ready, &taken),
        })
    }
}

/// Lives as worker `index` of queue `home`.
pub(crate) fn run(queues: &[Arc<Shared>], home: usize, index: usize) {
    let Some(home) = queues.get(home) else {
        return;
    };
    let Some(signal) = home.signals.get(index) else {
        return;
    };
    lower_priority(home.nice);
    signal.register();
    // As the pool numbers its threads.
    let worker = index * queues.len() + home.index;
    let mut worker = Worker::new(By { home: home.index, worker });
    let mut visited = None;
    loop {
        match home.next(index, visited.take()) {
            Next::Slice(ready, taken) => {
                worker.poll(home, ready, &taken);
            }
            Next::Visit(peer) => visited = Some(worker.visit(home, queues.get(peer))),
            Next::Idle => {
                if let Some(peer) = home.leave_idle(index) {
                    visited = Some(worker.visit(home, queues.get(peer)));
                    continue;
                }
                worker.idle(home);
                if !(worker.spinning_pays && spin(home, signal)) {
                    signal.sleep();
                }
            }
            Next::Exit => return,
        }
    }
}

/// Waits for the signal without giving the CPU away, for a bounded time.
fn spin(shared: &Shared, signal: &Signal) -> bool {
    if shared.spin_ns == 0 {
        return false;
    }
    let mut called = false;
    if shared.spinning.fetch_add(1, Ordering::Relaxed) < SPINNERS_MAX {
        let end_ns = shared.clock.now_ns().saturating_add(shared.spin_ns);
        'spin: loop {
            for _ in 0..SPINS_PER_CLOCK {
                if signal.notified() {
                    called = true;
                    break 'spin;
                }
                spin_loop();
            }
            if shared.clock.now_ns() >= end_ns {
                break;
            }
        }
    }
    shared.spinning.fetch_sub(1, Ordering::Relaxed);
    called
}

/// The threads that serve requests come first. Not allowed to (raising a lowered priority):
/// the pool works all the same.
fn lower_priority(nice: i32) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}
