//! One queue and its workers: the queue's state behind one mutex, and what must happen once that
//! mutex is released again.
//!
//! Owns the steps that change several parts at once (queue a run, end a slice, stop, retire).
//! The lock is never held while waking, dropping a future or interrupting: those are collected
//! in [`Effects`]. A run stays in its queue for life; workers of other queues may come for a slice
//! of it (`peers.rs`). Must not know how a run is polled.

use crate::Stats;
use crate::clock::{Clock, NEVER_NS};
use crate::levels::{Key, Levels, Place, Stake, Taken, Why};
use crate::lock::{Held, Lock};
use crate::peers::{Board, Line, Peers};
use crate::run::{Core, Ended, Stop};
use crate::sync::Signal;
use crate::ticker::Deadlines;
use async_task::{Runnable, ScheduleInfo};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

/// Deadlines fired before the lock is let go: thousands may come due together, and the workers
/// want the lock too.
const FIRES_PER_LOCK_MAX: usize = 64;

/// Lanes up to this one hold runs that end soon or are only to be dropped: the urgent one, level 0.
const SHORT_LANE: u32 = 1;

/// Slices of such runs between two looks at the other queues.
const SHORT_SLICES_PER_LOOK: u64 = 32;

/// A run as async-task hands it over.
pub(crate) type Ready = Runnable<Arc<Core>>;

/// What makes running slices ask for their verdict.
pub(crate) type Interrupt = Arc<dyn Fn() + Send + Sync>;

/// What the queue keeps per run.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) core: Arc<Core>,
    /// There while the run is queued.
    pub(crate) ready: Option<Ready>,
    /// There once the run has been pending.
    pub(crate) waker: Option<Waker>,
    /// The deadline entry that counts.
    pub(crate) armed_ns: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) levels: Levels<Slot>,
    pub(crate) deadlines: Deadlines,
    /// Workers without work, the one that ran dry last at the end.
    pub(crate) idle: Vec<usize>,
    /// Workers that serve another queue.
    pub(crate) away: usize,
    /// An interrupt was sent for an arrival and no worker came for work since.
    pub(crate) interrupt_pending: bool,
    pub(crate) ticker_asleep: bool,
    pub(crate) ticker_until_ns: u64,
    /// Workers leave when there are no more runs.
    pub(crate) closing: bool,
    pub(crate) slices: u64,
    pub(crate) submitted: u64,
    pub(crate) completed: u64,
    pub(crate) panicked: u64,
    pub(crate) stopped: [u64; Stop::COUNT],
    pub(crate) preemptions: u64,
    pub(crate) visits: u64,
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// This queue's place among its peers.
    pub(crate) index: usize,
    pub(crate) peers: Arc<Peers>,
    pub(crate) spin_ns: u64,
    pub(crate) nice: i32,
    pub(crate) signals: Vec<Signal>,
    /// Workers that spin at the moment.
    pub(crate) spinning: AtomicUsize,
    pub(crate) wakes: AtomicU64,
    state: Line<Lock<State>>,
}

/// What to do after the lock was released.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) worker: Option<usize>,
    pub(crate) more_workers: Vec<usize>,
    pub(crate) interrupt: bool,
    pub(crate) ticker: bool,
    /// No worker here is idle, one elsewhere may be.
    pub(crate) call_peer: bool,
    pub(crate) wakers: Vec<Waker>,
    pub(crate) garbage: Option<Ready>,
}

/// What a worker did since it last came for work: a slice of another queue, of this level and CPU
/// time.
pub(crate) struct Visited {
    pub(crate) level: usize,
    pub(crate) used_ns: u64,
}

/// A worker's next step.
pub(crate) enum Next {
    Slice(Ready, Taken),
    /// Something more pressing waits in this other queue.
    Visit(usize),
    Idle,
    Exit,
}

/// Calls what others wrote, from threads that must not die of it.
pub(crate) fn guarded(call: impl FnOnce()) {
    // The panic hook has had its say; nobody here could do more.
    let _ = catch_unwind(AssertUnwindSafe(call));
}

impl Shared {
    pub(crate) fn new(
        peers: Arc<Peers>,
        index: usize,
        levels: Levels<Slot>,
        workers: usize,
        spin_ns: u64,
        nice: i32,
    ) -> Self {
        Self {
            clock: peers.clock,
            index,
            peers,
            spin_ns,
            nice,
            signals: (0..workers).map(|_| Signal::new()).collect(),
            spinning: AtomicUsize::new(0),
            wakes: AtomicU64::new(0),
            state: Line(Lock::new(
                "queue",
                State {
                    levels,
                    deadlines: Deadlines::default(),
                    idle: Vec::with_capacity(workers),
                    away: 0,
                    interrupt_pending: false,
                    ticker_asleep: false,
                    ticker_until_ns: NEVER_NS,
                    closing: false,
                    slices: 0,
                    submitted: 0,
                    completed: 0,
                    panicked: 0,
                    stopped: [0; Stop::COUNT],
                    preemptions: 0,
                    visits: 0,
                },
            )),
        }
    }

    pub(crate) fn lock(&self) -> Held<'_, State> {
        self.state.0.lock()
    }

    /// What waits for a worker of queue `home` that polls a run of this one.
    pub(crate) fn waiting_bits(&self, home: usize) -> u32 {
        let own = self.peers.board(self.index).map_or(0, Board::waiting_bits);
        if home == self.index {
            return own;
        }
        own | self.peers.board(home).map_or(0, Board::waiting_bits)
    }

    /// Under the lock: what waits has changed.
    fn publish(&self, levels: &Levels<Slot>) {
        if let Some(board) = self.peers.board(self.index) {
            board.publish(levels, !self.peers.alone());
        }
    }

    /// Does what was put off until the lock was free.
    pub(crate) fn apply(&self, fx: Effects) {
        for worker in fx.worker.into_iter().chain(fx.more_workers) {
            if self.signals.get(worker).is_some_and(Signal::notify) {
                self.wakes.fetch_add(1, Ordering::Relaxed);
            }
        }
        if fx.interrupt {
            self.peers.interrupt_all();
        }
        if fx.ticker
            && let Some(ticker) = self.peers.ticker_thread.get()
        {
            self.peers.ticker_wakes.fetch_add(1, Ordering::Relaxed);
            ticker.unpark();
        }
        if fx.call_peer && !self.peers.call_idle(self.index) {
            // It has found other work meanwhile.
            let mut fx = Effects::default();
            self.lock().preempt(&mut fx);
            self.apply(fx);
        }
        for waker in fx.wakers {
            guarded(|| waker.wake());
        }
        drop(fx.garbage);
    }

    /// A new run.
    pub(crate) fn arrive(&self, core: Arc<Core>, ready: Ready, stake: Stake) {
        let mut fx = Effects::default();
        let now_ns = core.submitted_ns;
        let mut state = self.lock();
        state.submitted += 1;
        let slot = Slot { core: Arc::clone(&core), ready: None, waker: None, armed_ns: NEVER_NS };
        let key = state.levels.insert(slot, stake);
        core.set_key(key);
        state.put(self, key, ready, Why::Arrival, now_ns, &mut fx);
        drop(state);
        self.apply(fx);
    }

    /// async-task's schedule function: a run woke, or yielded.
    pub(crate) fn schedule(&self, ready: Ready, info: ScheduleInfo) {
        let mut fx = Effects::default();
        let core = Arc::clone(ready.metadata());
        let now_ns = self.clock.now_ns();
        let mut state = self.lock();
        let why = if core.stop().is_some() {
            Why::Stopped
        } else if info.woken_while_running {
            Why::Yield
        } else {
            Why::Wake
        };
        state.put(self, core.key(), ready, why, now_ns, &mut fx);
        drop(state);
        self.apply(fx);
    }

    /// What worker `index` does next. [`Next::Idle`]: it is on the idle list already.
    /// [`Next::Visit`]: it counts as away until it comes again, and says then what it did.
    pub(crate) fn next(&self, index: usize, visited: Option<Visited>) -> Next {
        let mut fx = Effects::default();
        let mut state = self.lock();
        if let Some(Visited { level, used_ns }) = visited {
            state.away = state.away.saturating_sub(1);
            state.levels.worked_elsewhere(level, used_ns);
        }
        let next = state.next(self, index, &mut fx);
        drop(state);
        self.apply(fx);
        next
    }

    /// A worker of another queue comes for a slice.
    pub(crate) fn visit(&self) -> Option<(Ready, Taken)> {
        let mut fx = Effects::default();
        let mut state = self.lock();
        let slice = state.take(self, &mut fx);
        state.visits += u64::from(slice.is_some());
        drop(state);
        self.apply(fx);
        slice
    }

    /// Worker `index` is on the idle list and looks at the other queues once more: whoever queued a
    /// run there before saw no idle worker. `Some`: it is off the list, and to visit that queue.
    pub(crate) fn leave_idle(&self, index: usize) -> Option<usize> {
        let (peer, _) = self.peers.most_pressing_after_fence(self.index)?;
        let mut state = self.lock();
        let at = state.idle.iter().position(|&i| i == index)?;
        state.idle.remove(at);
        self.idle_changed(&state);
        state.away += 1;
        Some(peer)
    }

    /// Somebody queued a run elsewhere and found no idle worker there. `true`: one comes from here.
    pub(crate) fn lend_worker(&self) -> bool {
        let mut fx = Effects::default();
        let mut state = self.lock();
        fx.worker = state.idle.pop();
        self.idle_changed(&state);
        drop(state);
        let lent = fx.worker.is_some();
        self.apply(fx);
        lent
    }

    /// Under the lock: the idle list has changed.
    fn idle_changed(&self, state: &State) {
        self.peers.set_idle(self.index, !state.idle.is_empty());
    }

    /// The end of a slice whose run goes on later. `Err`: it was stopped meanwhile, the caller
    /// drops it now.
    pub(crate) fn end_slice(&self, core: &Core, used_ns: u64, waker: &Waker) -> Result<(), Stop> {
        let key = core.key();
        let mut fx = Effects::default();
        let now_ns = self.clock.now_ns();
        let mut state = self.lock();
        // Under the lock: a stop either sees the run parked and wakes it, or is seen here.
        if let Some(stop) = core.stop() {
            return Err(stop);
        }
        let preempted = core.was_preempted();
        state.preemptions += u64::from(preempted);
        state.levels.end_slice(key, used_ns, now_ns, preempted);
        if let Some(slot) = state.levels.payload_mut(key)
            && slot.waker.is_none()
        {
            slot.waker = Some(waker.clone());
        }
        state.arm(key, &mut fx);
        if !self.peers.alone() {
            self.publish(&state.levels);
        }
        drop(state);
        self.apply(fx);
        Ok(())
    }

    /// A run has ended and its future is gone. Returns its last level.
    pub(crate) fn retire(&self, key: Key, used_ns: u64, ended: Option<&Ended>) -> usize {
        let mut fx = Effects::default();
        let mut state = self.lock();
        let level = state.levels.level(key).unwrap_or(0);
        let slot = state.levels.remove(key, used_ns);
        if let Some(slot) = &slot {
            match ended {
                None => state.completed += 1,
                Some(Ended::Panicked(_)) => state.panicked += 1,
                Some(Ended::Stopped(stop)) => {
                    if let Some(n) = state.stopped.get_mut(stop.index()) {
                        *n += 1;
                    }
                }
            }
            if slot.armed_ns != NEVER_NS && state.deadlines.voided() {
                state.sweep_deadlines();
            }
        }
        self.publish(&state.levels);
        if state.closing && state.levels.len() == 0 {
            fx.more_workers = std::mem::take(&mut state.idle);
            self.idle_changed(&state);
        }
        drop(state);
        self.apply(fx);
        drop(slot);
        level
    }

    /// Forgets a run whose last poll unwound before it could retire by itself.
    pub(crate) fn retire_running(&self, key: Key, ended: &Ended) {
        let running = self.lock().levels.place(key) == Some(Place::Running);
        if running {
            self.retire(key, 0, Some(ended));
        }
    }

    /// Adds the numbers of this moment to those of other queues; what belongs to the whole pool is
    /// filled in there.
    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        let state = self.lock();
        let levels = &state.levels;
        stats.queued.resize(levels.levels(), 0);
        for (level, queued) in stats.queued.iter_mut().enumerate() {
            *queued += levels.waiting(level);
        }
        for (n, more) in stats.stopped.iter_mut().zip(state.stopped) {
            *n += more;
        }
        stats.running += levels.running();
        stats.parked += levels.len().saturating_sub(levels.wanting());
        stats.urgent += levels.urgent();
        stats.idle_workers += state.idle.len();
        stats.submitted += state.submitted;
        stats.completed += state.completed;
        stats.panicked += state.panicked;
        stats.slices += state.slices;
        stats.preemptions += state.preemptions;
        stats.demotions += levels.demotions();
        stats.aged_slices += levels.aged_slices();
        stats.visits += state.visits;
        stats.deadlines += state.deadlines.len();
        drop(state);
        stats.worker_wakes += self.wakes.load(Ordering::Relaxed);
    }

    /// Stops one run, wherever it is. The first reason given counts.
    pub(crate) fn stop(&self, core: &Core, reason: Stop) {
        if !core.set_stop(reason) {
            return;
        }
        let mut fx = Effects::default();
        let mut state = self.lock();
        state.hurry(self, core.key(), &mut fx);
        drop(state);
        self.apply(fx);
    }

    pub(crate) fn stop_all(&self, reason: Stop) {
        let mut fx = Effects::default();
        let mut state = self.lock();
        let keys: Vec<Key> = state.levels.keys().collect();
        for key in keys {
            if let Some(slot) = state.levels.payload_mut(key)
                && slot.core.set_stop(reason)
            {
                state.hurry(self, key, &mut fx);
            }
        }
        drop(state);
        self.apply(fx);
    }

    /// Lets the workers leave once there are no more runs.
    pub(crate) fn begin_exit(&self) {
        let mut fx = Effects::default();
        let mut state = self.lock();
        state.closing = true;
        fx.more_workers = std::mem::take(&mut state.idle);
        self.idle_changed(&state);
        drop(state);
        self.apply(fx);
    }
}

impl State {
    /// Queues a run and sees to it that a worker comes for it.
    fn put(&mut self, shared: &Shared, key: Key, ready: Ready, why: Why, now_ns: u64, fx: &mut Effects) {
        if !self.levels.enqueue(key, why, now_ns) {
            // Not one of ours any more.
            fx.garbage = Some(ready);
            return;
        }
        ready.metadata().note_queued();
        if let Some(slot) = self.levels.payload_mut(key) {
            slot.ready = Some(ready);
        }
        shared.publish(&self.levels);
        // The worker that a run yielded to comes for work by itself: such a run wakes nobody
        // and preempts nobody.
        if why == Why::Yield || !self.call_worker(shared, fx) {
            self.arm(key, fx);
        }
    }

    /// Calls an idle worker, or interrupts the running slices if one must make room.
    fn call_worker(&mut self, shared: &Shared, fx: &mut Effects) -> bool {
        if let Some(worker) = self.idle.pop() {
            shared.idle_changed(self);
            match fx.worker {
                None => fx.worker = Some(worker),
                Some(_) => fx.more_workers.push(worker),
            }
            return true;
        }
        if shared.peers.somebody_idle() {
            fx.call_peer = true;
        } else {
            self.preempt(fx);
        }
        false
    }

    fn preempt(&mut self, fx: &mut Effects) {
        // Whoever is away comes back for what is above the run he polls there.
        let outranks = self.levels.outranks_running() || (self.away > 0 && self.levels.pressing().is_some());
        if !self.interrupt_pending && outranks {
            self.interrupt_pending = true;
            fx.interrupt = true;
        }
    }

    fn next(&mut self, shared: &Shared, index: usize, fx: &mut Effects) -> Next {
        if let Some(peer) = self.more_pressing_peer(shared) {
            self.away += 1;
            return Next::Visit(peer);
        }
        if let Some((ready, taken)) = self.take(shared, fx) {
            return Next::Slice(ready, taken);
        }
        if self.closing && self.levels.len() == 0 {
            return Next::Exit;
        }
        if let Some(signal) = shared.signals.get(index) {
            signal.prepare();
        }
        self.idle.push(index);
        shared.idle_changed(self);
        Next::Idle
    }

    /// Another queue whose next slice comes before this one's, as if they were one. Short runs are
    /// taken without asking, but for now and then: the queues they go to are balanced, and asking
    /// costs as much as they do.
    fn more_pressing_peer(&self, shared: &Shared) -> Option<usize> {
        if shared.peers.alone() {
            return None;
        }
        let own = self.levels.pressing();
        let short = own.is_some_and(|(lane, _)| lane <= SHORT_LANE);
        if (short && !self.slices.is_multiple_of(SHORT_SLICES_PER_LOOK)) || self.levels.grant_due() {
            return None;
        }
        let (peer, theirs) = shared.peers.most_pressing(shared.index)?;
        own.is_none_or(|own| theirs < own).then_some(peer)
    }

    /// Hands out the next slice.
    fn take(&mut self, shared: &Shared, fx: &mut Effects) -> Option<(Ready, Taken)> {
        while let Some(taken) = self.levels.take() {
            let Some(ready) = self.levels.payload_mut(taken.key).and_then(|slot| slot.ready.take()) else {
                // A queued run always has its runnable; without one it can never run.
                self.levels.remove(taken.key, 0);
                continue;
            };
            shared.publish(&self.levels);
            self.slices += 1;
            self.interrupt_pending = false;
            self.preempt(fx);
            if self.ticker_asleep {
                self.ticker_asleep = false;
                fx.ticker = true;
            }
            return Some((ready, taken));
        }
        None
    }

    /// A run has its stop flag set: it must be dropped soon.
    fn hurry(&mut self, shared: &Shared, key: Key, fx: &mut Effects) {
        match self.levels.place(key) {
            None => {}
            Some(Place::Running) => fx.interrupt = true,
            Some(Place::Queued { .. }) => {
                self.levels.expedite(key);
                shared.publish(&self.levels);
                self.call_worker(shared, fx);
            }
            Some(Place::Parked) => {
                let slot = self.levels.payload_mut(key);
                fx.wakers.extend(slot.and_then(|slot| slot.waker.clone()));
            }
        }
    }

    /// Makes the ticker watch the next deadline of a run that is queued or parked.
    fn arm(&mut self, key: Key, fx: &mut Effects) {
        let Some(slot) = self.levels.payload_mut(key) else {
            return;
        };
        let at_ns = slot.core.deadline_ns();
        if at_ns >= slot.armed_ns {
            return;
        }
        let replaced = slot.armed_ns != NEVER_NS;
        slot.armed_ns = at_ns;
        self.deadlines.push(at_ns, key);
        if replaced && self.deadlines.voided() {
            self.sweep_deadlines();
        }
        if self.ticker_asleep && at_ns < self.ticker_until_ns {
            self.ticker_asleep = false;
            fx.ticker = true;
        }
    }

    fn sweep_deadlines(&mut self) {
        let levels = &mut self.levels;
        self.deadlines.sweep(|at_ns, key| levels.payload_mut(key).is_some_and(|slot| slot.armed_ns == at_ns));
    }

    /// Stops runs whose deadline has passed while they waited. `true`: there are more.
    pub(crate) fn fire_due(&mut self, shared: &Shared, now_ns: u64, fx: &mut Effects) -> bool {
        for _ in 0..FIRES_PER_LOCK_MAX {
            let Some((at_ns, key)) = self.deadlines.pop_due(now_ns) else {
                return false;
            };
            let Some(slot) = self.levels.payload_mut(key) else {
                continue;
            };
            if slot.armed_ns != at_ns {
                continue;
            }
            slot.armed_ns = NEVER_NS;
            let core = Arc::clone(&slot.core);
            if core.deadline_ns() > now_ns {
                // It has started since, or is at another deadline now.
                self.arm(key, fx);
            } else if self.levels.place(key) == Some(Place::Running) {
                // Its own verdict sees it; it is armed again if it waits again.
            } else if core.set_stop(core.deadline_reason()) {
                self.hurry(shared, key, fx);
            }
        }
        self.deadlines.next_ns() <= now_ns
    }
}
