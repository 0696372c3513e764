//! A worker thread: take a run, poll one slice, take the next; without work spin briefly, then
//! sleep until it is called.
//!
//! Must not know which run is next or why: it asks the shared state.

use crate::clock::{Clocks, SHORT_SLICE_NS, thread_cpu_ns};
use crate::run::poll_slice;
use crate::shared::{Next, Shared};
use crate::sync::Signal;
use std::hint::spin_loop;
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

pub(crate) fn run(shared: &Shared, index: usize) {
    let Some(signal) = shared.signals.get(index) else {
        return;
    };
    lower_priority(shared.nice);
    signal.register();
    // Up to where the worker's time is charged to somebody: the end of a slice is the start of the next.
    let mut charged = Clocks { wall_ns: 0, cpu_ns: 0 };
    let mut reckoned_ns = RECKONED_NS_MAX;
    let mut idle_since_ns = None;
    let mut spinning_pays = false;
    loop {
        match shared.next(index) {
            Next::Slice(ready, taken) => {
                let now_ns = shared.clock.now_ns();
                if reckoned_ns >= RECKONED_NS_MAX {
                    charged = Clocks { wall_ns: now_ns, cpu_ns: thread_cpu_ns() };
                    reckoned_ns = 0;
                } else if idle_since_ns.is_some() {
                    charged.wall_ns = now_ns;
                }
                if let Some(since_ns) = idle_since_ns.take() {
                    let idle_ns = now_ns.saturating_sub(since_ns);
                    spinning_pays = idle_ns <= shared.spin_ns.saturating_mul(IDLE_SPINS_MAX);
                }
                let Some(end) = poll_slice(ready, &taken, now_ns, charged) else {
                    reckoned_ns = RECKONED_NS_MAX;
                    continue;
                };
                let used_ns = end.cpu_ns.saturating_sub(charged.cpu_ns);
                reckoned_ns = if used_ns < SHORT_SLICE_NS { reckoned_ns + used_ns } else { 0 };
                charged = end;
            }
            Next::Idle => {
                // What is spent here is nobody's, and is not counted.
                reckoned_ns = reckoned_ns.saturating_add(shared.spin_ns);
                idle_since_ns = idle_since_ns.or_else(|| Some(shared.clock.now_ns()));
                if !(spinning_pays && spin(shared, signal)) {
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
