//! What the queues of one pool have in common, and what each shows the others.
//!
//! A pool of many workers has several queues, so that no lock is shared by all cores. A run stays in
//! the queue it was put into; what moves is workers: one that finds nothing at home, or nothing as
//! pressing as what another queue shows, goes there for a slice. So that this costs no lock, each
//! queue keeps a *board* of plain numbers that it writes under its lock and anybody reads. Must not
//! know what is in the queues.

use crate::clock::{Clock, NEVER_NS};
use crate::levels::Levels;
use crate::shared::{Interrupt, Shared, guarded};
use crate::sync::{IdleMask, fence_before_look};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{OnceLock, Weak};
use std::thread::Thread;

/// Queues beyond this are not made: who has idle workers is one word.
pub(crate) const QUEUES_MAX: usize = 64;

/// By itself in a pair of cache lines, which processors fetch together: its neighbours are not
/// taken from other cores whenever this is written.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct Line<T>(pub(crate) T);

/// What a queue shows the others.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Bit 0: something is to be dropped; bit `l + 1`: a run waits on level `l`. Lets
    /// [`crate::Run::verdict`] do without the lock.
    waiting: AtomicU32,
    /// Since when the first run of the best lane waits. Written apart from `waiting`: a look between
    /// the two writes costs at most one visit in vain.
    oldest_ns: AtomicU64,
    /// What a new run would wait for: runs on level 0 in the upper half, all others that want a
    /// worker in the lower.
    load: AtomicU64,
}

impl Board {
    pub(crate) fn waiting_bits(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Under the queue's lock.
    pub(crate) fn publish<P>(&self, levels: &Levels<P>, to_peers: bool) {
        self.waiting.store(levels.bitmap(), Ordering::Relaxed);
        if to_peers {
            self.oldest_ns.store(levels.pressing().map_or(NEVER_NS, |(_, ns)| ns), Ordering::Relaxed);
            let fresh = u64::try_from(levels.fresh()).unwrap_or(u64::MAX);
            let all = u64::try_from(levels.wanting()).unwrap_or(u64::MAX);
            self.load.store(fresh << 32 | all.min(u64::from(u32::MAX)), Ordering::Relaxed);
        }
    }

    /// The best lane that waits, and since when.
    fn pressing(&self) -> Option<(u32, u64)> {
        let bits = self.waiting_bits();
        (bits != 0).then(|| (bits.trailing_zeros(), self.oldest_ns.load(Ordering::Relaxed)))
    }
}

pub(crate) struct Peers {
    pub(crate) clock: Clock,
    pub(crate) tick_ns: u64,
    pub(crate) interrupt: Interrupt,
    pub(crate) ticker_thread: OnceLock<Thread>,
    pub(crate) ticker_exit: AtomicBool,
    pub(crate) ticker_wakes: AtomicU64,
    pub(crate) interrupts: AtomicU64,
    /// When the last tick came; 0 before the first.
    pub(crate) ticked_ns: AtomicU64,
    /// Workers that have not left yet.
    pub(crate) workers_left: AtomicUsize,
    /// Which queues have idle workers.
    idle: Line<IdleMask>,
    boards: Vec<Line<Board>>,
    queues: OnceLock<Vec<Weak<Shared>>>,
}

thread_local! {
    static DICE: Cell<u32> = const { Cell::new(0) };
}

/// A number that differs from call to call; no more is asked of it.
pub(crate) fn roll() -> u32 {
    DICE.with(|dice| {
        // Knuth's linear congruential generator; threads start apart by where their cell lies.
        let seed =
            if dice.get() == 0 { (std::ptr::from_ref(dice).addr() >> 4) as u32 | 1 } else { dice.get() };
        dice.set(seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        dice.get() >> 8
    })
}

impl Peers {
    pub(crate) fn new(
        clock: Clock,
        tick_ns: u64,
        interrupt: Interrupt,
        queues: usize,
        workers: usize,
    ) -> Self {
        Self {
            clock,
            tick_ns,
            interrupt,
            ticker_thread: OnceLock::new(),
            ticker_exit: AtomicBool::new(false),
            ticker_wakes: AtomicU64::new(0),
            interrupts: AtomicU64::new(0),
            ticked_ns: AtomicU64::new(0),
            workers_left: AtomicUsize::new(workers),
            idle: Line(IdleMask::new()),
            boards: (0..queues).map(|_| Line::default()).collect(),
            queues: OnceLock::new(),
        }
    }

    /// The queues, once they are made.
    pub(crate) fn introduce(&self, queues: Vec<Weak<Shared>>) {
        let _ = self.queues.set(queues);
    }

    /// There is one queue.
    pub(crate) fn alone(&self) -> bool {
        self.boards.len() == 1
    }

    pub(crate) fn board(&self, queue: usize) -> Option<&Board> {
        self.boards.get(queue).map(|line| &line.0)
    }

    /// The queue for a new run: the one of two with less to do before it.
    pub(crate) fn place(&self) -> usize {
        let count = u32::try_from(self.boards.len()).unwrap_or(1);
        if count == 1 {
            return 0;
        }
        let first = roll() % count;
        let second = (first + 1 + roll() % (count - 1)) % count;
        let idle = self.idle.0.get();
        let cost = |queue: u32| {
            let load = self.board(queue as usize).map_or(0, |b| b.load.load(Ordering::Relaxed));
            // An idle worker is as good as no load.
            if idle >> queue & 1 == 1 { 0 } else { load + 1 }
        };
        if cost(second) < cost(first) { second as usize } else { first as usize }
    }

    /// Under the queue's lock: it has idle workers, or none any more.
    pub(crate) fn set_idle(&self, queue: usize, idle: bool) {
        if !self.alone() {
            self.idle.0.set(queue, idle);
        }
    }

    /// After a run was published in a queue without idle workers: may another queue lend one?
    pub(crate) fn somebody_idle(&self) -> bool {
        !self.alone() && self.idle.0.after_fence() != 0
    }

    /// Worker on its queue's idle list, before it sleeps.
    pub(crate) fn most_pressing_after_fence(&self, but: usize) -> Option<(usize, (u32, u64))> {
        if self.alone() {
            return None;
        }
        fence_before_look();
        self.most_pressing(but)
    }

    /// The other queue that shows the most pressing run, and that run's lane and time.
    pub(crate) fn most_pressing(&self, but: usize) -> Option<(usize, (u32, u64))> {
        let others = self.boards.iter().enumerate().filter(|&(queue, _)| queue != but);
        others
            .filter_map(|(queue, line)| Some((queue, line.0.pressing()?)))
            .min_by_key(|&(_, pressing)| pressing)
    }

    /// Calls an idle worker of another queue; it sees by itself where it is wanted.
    pub(crate) fn call_idle(&self, but: usize) -> bool {
        loop {
            let idle = self.idle.0.get() & !(1 << but);
            if idle == 0 {
                return false;
            }
            let queue = self.queues.get().and_then(|queues| queues.get(idle.trailing_zeros() as usize));
            let Some(queue) = queue.and_then(Weak::upgrade) else {
                return false;
            };
            if queue.lend_worker() {
                return true;
            }
        }
    }

    /// Makes every running slice ask for its verdict.
    pub(crate) fn interrupt_all(&self) {
        self.interrupts.fetch_add(1, Ordering::Relaxed);
        guarded(|| (self.interrupt)());
    }

    pub(crate) fn end_ticker(&self) {
        self.ticker_exit.store(true, Ordering::Release);
        if let Some(ticker) = self.ticker_thread.get() {
            ticker.unpark();
        }
    }
}
