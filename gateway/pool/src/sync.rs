//! The few primitives the hand-written protocols stand on: an idle worker's signal, a run's stop
//! flag, and who is idle in other queues. Under `--cfg loom` the same code runs on the model checker's primitives.
//!
//! Must not know queues, runs or time.

#[cfg(all(loom, test))]
use loom::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering, fence},
    thread::{self, Thread},
};
use std::sync::OnceLock;
#[cfg(not(all(loom, test)))]
use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering, fence},
    thread::{self, Thread},
};

const AWAKE: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// How an idle worker is told to look at the queue again.
///
/// `AWAKE` (set by the worker, under the queue's lock, before it joins the idle list) →
/// `SLEEPING` (worker) or `NOTIFIED` (whoever took it off the idle list); `SLEEPING` →
/// `NOTIFIED`; `NOTIFIED` → `AWAKE` when the worker next runs dry. Only one thread can take a
/// worker off the idle list, so there is one notification per nap, and only one to a worker
/// that really sleeps costs a system call.
#[derive(Debug)]
pub(crate) struct Signal {
    state: AtomicU8,
    thread: OnceLock<Thread>,
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(AWAKE), thread: OnceLock::new() }
    }

    /// The calling thread is the one that will sleep here.
    pub(crate) fn register(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// Worker, under the queue's lock: from now on a notification counts.
    pub(crate) fn prepare(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    pub(crate) fn notified(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTIFIED
    }

    /// Worker: returns once it was notified.
    pub(crate) fn sleep(&self) {
        let slept = self.state.compare_exchange(AWAKE, SLEEPING, Ordering::AcqRel, Ordering::Acquire);
        if slept.is_ok() {
            while !self.notified() {
                thread::park();
            }
        }
    }

    /// Any thread that took the worker off the idle list. `true`: it had to be woken.
    pub(crate) fn notify(&self) -> bool {
        let slept = self.state.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING;
        if slept && let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        slept
    }
}

/// A number that is set once, from 0 to something else; the first one to set it wins.
#[derive(Debug)]
pub(crate) struct Once8(AtomicU8);

impl Once8 {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    pub(crate) fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    /// `true`: this call set it.
    pub(crate) fn set(&self, value: u8) -> bool {
        self.0.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Which queues have idle workers, one bit each; at most 64.
///
/// A run that is queued where no worker is idle and a worker that goes idle elsewhere must not miss
/// each other. Both first write (the run's queue shows it as waiting; the worker's sets its bit here)
/// and look after a fence ([`IdleMask::after_fence`], [`fence_before_look`]), so at least one of them
/// sees the other.
#[derive(Debug)]
pub(crate) struct IdleMask(AtomicU64);

impl IdleMask {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Under the queue's lock: it has idle workers, or none any more.
    pub(crate) fn set(&self, queue: usize, idle: bool) {
        let bit = 1 << queue;
        // Most changes of an idle list leave it as it was: some, or none.
        if (self.0.load(Ordering::Relaxed) & bit != 0) == idle {
            return;
        }
        if idle {
            self.0.fetch_or(bit, Ordering::SeqCst);
        } else {
            self.0.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    /// As a hint.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// After a run was shown as waiting.
    pub(crate) fn after_fence(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.get()
    }
}

/// Worker, after its queue's bit was set and before it looks at what other queues show.
pub(crate) fn fence_before_look() {
    fence(Ordering::SeqCst);
}

#[cfg(all(test, loom))]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#[path = "loom_tests.rs"]
mod loom_tests;
