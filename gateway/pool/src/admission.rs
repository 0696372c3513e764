//! Who may come in: a bounded waiting room per share, a ceiling over all of them, and the
//! order in which returned permits are handed on.
//!
//! A permit that returns goes to the first waiter of the next share that has one and has room,
//! round-robin over shares, so a share with 1,000 waiters delays another by one turn. A share's
//! weight is kept here and read elsewhere. Must not know what a permit is used for: no runs, levels
//! or threads.

use crate::clock::Clock;
use crate::lock::{Held, Lock};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A client told to come back sooner would only queue again.
const RETRY_AFTER_MIN_S: u64 = 1;
/// A client told to come back later would rather give up; by then the estimate is worthless.
const RETRY_AFTER_MAX_S: u64 = 60;
/// Weight of the newest interval in the moving average of the service rate, as a divisor:
/// about the last 8 returns count.
const RATE_SMOOTHING_DIVISOR: u64 = 8;

/// What one share may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLimits {
    /// Permits out at once. At least 1.
    pub concurrency: usize,
    /// Waiters for one; more are refused.
    pub queue: usize,
    /// How much CPU time the share's runs get beside those of others on the same level, 1 (normal)
    /// to [`ShareLimits::WEIGHT_MAX`]; anything else is taken for the nearest of these. A share of
    /// weight 3 gets three times what one of weight 1 gets, while both want more than there is. A
    /// run keeps the weight of when it was submitted.
    pub weight: u32,
}

impl ShareLimits {
    /// The greatest weight: beside it, a share of weight 1 still gets a hundredth of the time.
    pub const WEIGHT_MAX: u32 = 100;
}

/// Why a permit was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The share's waiting room is full.
    QueueFull {
        /// When to try again, from the observed service rate: 1 to 60 s.
        retry_after: Duration,
    },
    /// The pool admits nobody any more.
    Draining,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull { retry_after } => {
                write!(f, "the waiting room is full; try again in {} s", retry_after.as_secs())
            }
            Self::Draining => f.write_str("the pool is draining and admits nobody any more"),
        }
    }
}

impl std::error::Error for Refused {}

/// What the pool's admission looks like now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AdmissionStats {
    pub(crate) permits: usize,
    pub(crate) waiting: usize,
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
}

pub(crate) struct Admission {
    clock: Clock,
    runs_max: usize,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    permits: usize,
    waiting: usize,
    admitted: u64,
    refused: u64,
    shares: Vec<ShareState>,
    shares_free: Vec<usize>,
    waiters: Vec<Waiter>,
    waiters_free: Vec<usize>,
    /// Shares that may have both waiters and room, the next one to be served first; each at most once.
    /// One that turns out to have no waiter or no room leaves, and comes back when it has both again:
    /// what is looked at in vain was paid for by whoever put it there.
    turn: VecDeque<usize>,
    idle_wakers: Vec<Waker>,
}

#[derive(Default)]
struct ShareState {
    concurrency: usize,
    queue: usize,
    permits: usize,
    waiting: usize,
    in_turn: bool,
    head: Option<usize>,
    tail: Option<usize>,
    last_return_ns: u64,
    /// Moving average of the time between two returned permits while the share was busy.
    interval_ns: u64,
}

/// A place in the waiting room. `Waiting` → `Granted` or `Refused` (by whoever returns a permit
/// or closes) → gone (by the waiter, who takes it or drops).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Granted,
    Refused,
}

struct Waiter {
    share: usize,
    standing: Standing,
    waker: Option<Waker>,
    prev: Option<usize>,
    next: Option<usize>,
}

impl Admission {
    pub(crate) fn new(clock: Clock, runs_max: usize) -> Arc<Self> {
        Arc::new(Self { clock, runs_max: runs_max.max(1), state: Lock::new("admission", State::default()) })
    }

    fn lock(&self) -> Held<'_, State> {
        self.state.lock()
    }

    pub(crate) fn share(self: &Arc<Self>, limits: ShareLimits) -> Share {
        let fresh = ShareState {
            concurrency: limits.concurrency.max(1),
            queue: limits.queue,
            ..ShareState::default()
        };
        let mut state = self.lock();
        let index = state.shares_free.pop().unwrap_or(state.shares.len());
        match state.shares.get_mut(index) {
            Some(slot) => *slot = fresh,
            None => state.shares.push(fresh),
        }
        drop(state);
        let weight = AtomicU32::new(weight(limits));
        Share { core: Arc::new(ShareCore { admission: Arc::clone(self), index, weight }) }
    }

    /// Refuses all waiters and everybody who comes later.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.closed = true;
        for share in 0..state.shares.len() {
            while let Some(waiter) = state.shares.get(share).and_then(|s| s.head) {
                state.leave_queue(waiter);
                state.refused += 1;
                if let Some(w) = state.waiters.get_mut(waiter) {
                    w.standing = Standing::Refused;
                    wakers.extend(w.waker.take());
                }
            }
        }
        drop(state);
        wake_all(wakers);
    }

    pub(crate) fn runs_max(&self) -> usize {
        self.runs_max
    }

    pub(crate) fn stats(&self) -> AdmissionStats {
        let state = self.lock();
        AdmissionStats {
            permits: state.permits,
            waiting: state.waiting,
            admitted: state.admitted,
            refused: state.refused,
        }
    }

    /// Ready when no permit is out.
    pub(crate) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.permits == 0 {
            return Poll::Ready(());
        }
        if !state.idle_wakers.iter().any(|w| w.will_wake(cx.waker())) {
            state.idle_wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn give_back(&self, share: usize) {
        let now_ns = self.clock.now_ns();
        let mut idle = Vec::new();
        let mut state = self.lock();
        state.permits = state.permits.saturating_sub(1);
        if let Some(s) = state.shares.get_mut(share) {
            s.returned(now_ns);
        }
        state.take_turns(share);
        let granted = state.grant_next(self.runs_max);
        if state.permits == 0 {
            idle = std::mem::take(&mut state.idle_wakers);
        }
        drop(state);
        if let Some(waker) = granted {
            waker.wake();
        }
        wake_all(idle);
    }
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

impl State {
    /// Hands one permit to the next share in turn that has room. A granted waiter without a
    /// waker was not polled since; it finds its permit when it is.
    fn grant_next(&mut self, runs_max: usize) -> Option<Waker> {
        if self.permits >= runs_max {
            return None;
        }
        while let Some(share) = self.turn.pop_front() {
            let Some(s) = self.shares.get_mut(share) else {
                continue;
            };
            s.in_turn = false;
            let Some(waiter) = s.head.filter(|_| s.permits < s.concurrency) else {
                continue;
            };
            self.leave_queue(waiter);
            self.count_in(share);
            self.take_turns(share);
            let w = self.waiters.get_mut(waiter)?;
            w.standing = Standing::Granted;
            return w.waker.take();
        }
        None
    }

    /// Lets a share take turns, if it has waiters and room.
    fn take_turns(&mut self, share: usize) {
        if let Some(s) = self.shares.get_mut(share)
            && s.waiting > 0
            && s.permits < s.concurrency
            && !std::mem::replace(&mut s.in_turn, true)
        {
            self.turn.push_back(share);
        }
    }

    fn grant_all(&mut self, runs_max: usize) -> Vec<Waker> {
        let mut wakers = Vec::new();
        loop {
            let before = self.permits;
            wakers.extend(self.grant_next(runs_max));
            if self.permits == before {
                return wakers;
            }
        }
    }

    fn count_in(&mut self, share: usize) {
        self.permits += 1;
        self.admitted += 1;
        if let Some(s) = self.shares.get_mut(share) {
            s.permits += 1;
        }
    }

    fn join_queue(&mut self, share: usize, waker: Waker) -> usize {
        let tail = self.shares.get(share).and_then(|s| s.tail);
        let fresh = Waiter { share, standing: Standing::Waiting, waker: Some(waker), prev: tail, next: None };
        let index = self.waiters_free.pop().unwrap_or(self.waiters.len());
        match self.waiters.get_mut(index) {
            Some(slot) => *slot = fresh,
            None => self.waiters.push(fresh),
        }
        if let Some(t) = tail.and_then(|t| self.waiters.get_mut(t)) {
            t.next = Some(index);
        }
        self.waiting += 1;
        if let Some(s) = self.shares.get_mut(share) {
            s.waiting += 1;
            s.tail = Some(index);
            s.head = s.head.or(Some(index));
        }
        self.take_turns(share);
        index
    }

    /// Takes a waiter out of its share's queue; its slot stays until the waiter takes note.
    fn leave_queue(&mut self, waiter: usize) {
        let Some((share, prev, next)) =
            self.waiters.get_mut(waiter).map(|w| (w.share, w.prev.take(), w.next.take()))
        else {
            return;
        };
        if let Some(p) = prev.and_then(|p| self.waiters.get_mut(p)) {
            p.next = next;
        }
        if let Some(n) = next.and_then(|n| self.waiters.get_mut(n)) {
            n.prev = prev;
        }
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(s) = self.shares.get_mut(share) {
            s.waiting = s.waiting.saturating_sub(1);
            if prev.is_none() {
                s.head = next;
            }
            if next.is_none() {
                s.tail = prev;
            }
        }
    }

    fn free_waiter(&mut self, waiter: usize) -> Option<Waker> {
        self.waiters_free.push(waiter);
        self.waiters.get_mut(waiter).and_then(|w| w.waker.take())
    }
}

impl ShareState {
    fn returned(&mut self, now_ns: u64) {
        let busy = self.permits >= self.concurrency || self.waiting > 0;
        self.permits = self.permits.saturating_sub(1);
        let interval_ns = now_ns.saturating_sub(self.last_return_ns);
        self.last_return_ns = now_ns;
        // Time without demand says nothing about the rate of service.
        if !busy {
            return;
        }
        self.interval_ns = if self.interval_ns == 0 {
            interval_ns
        } else {
            self.interval_ns - self.interval_ns / RATE_SMOOTHING_DIVISOR
                + interval_ns / RATE_SMOOTHING_DIVISOR
        };
    }

    fn retry_after(&self, now_ns: u64) -> Duration {
        let stalled_ns = now_ns.saturating_sub(self.last_return_ns);
        let interval_ns = self.interval_ns.max(if self.waiting > 0 || self.interval_ns == 0 {
            stalled_ns.min(RETRY_AFTER_MAX_S * 1_000_000_000)
        } else {
            0
        });
        let waiting = u64::try_from(self.waiting).unwrap_or(u64::MAX);
        let wait_ns = interval_ns.saturating_mul(waiting.saturating_add(1));
        let seconds = wait_ns.div_ceil(1_000_000_000);
        Duration::from_secs(seconds.clamp(RETRY_AFTER_MIN_S, RETRY_AFTER_MAX_S))
    }
}

/// The weight within its range.
fn weight(limits: ShareLimits) -> u32 {
    limits.weight.clamp(1, ShareLimits::WEIGHT_MAX)
}

struct ShareCore {
    admission: Arc<Admission>,
    index: usize,
    weight: AtomicU32,
}

impl Drop for ShareCore {
    /// Waiters and permits hold the share, so nobody is left in it.
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        let index = self.index;
        if state.shares.get(index).is_some_and(|s| s.in_turn) {
            state.turn.retain(|&s| s != index);
        }
        state.shares_free.push(index);
    }
}

/// A task's bulkhead: how many of its runs may be in flight and how many may wait for that.
#[derive(Clone)]
pub struct Share {
    core: Arc<ShareCore>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("index", &self.core.index).finish_non_exhaustive()
    }
}

impl Share {
    /// Asks for a permit: at once, after waiting in line, or refused. Cancel-safe: dropped
    /// while waiting, it leaves the line, and a permit already on its way goes to the next.
    pub fn enter(&self) -> Enter {
        Enter { core: Some(Arc::clone(&self.core)), waiter: None }
    }

    /// A permit if one is free now and nobody of this share waits for it.
    ///
    /// # Errors
    /// [`Refused::Draining`] after [`crate::Pool::close`], else [`Refused::QueueFull`].
    pub fn try_enter(&self) -> Result<Permit, Refused> {
        let admission = &self.core.admission;
        let mut state = admission.lock();
        if state.closed {
            state.refused += 1;
            return Err(Refused::Draining);
        }
        if admission.has_room(&state, self.core.index) {
            state.count_in(self.core.index);
            drop(state);
            return Ok(Permit { core: Arc::clone(&self.core) });
        }
        let now_ns = admission.clock.now_ns();
        Err(state.refuse_full(self.core.index, now_ns))
    }

    /// When a caller that gives up waiting should try again, from the observed service rate:
    /// 1 to 60 s.
    pub fn retry_after(&self) -> Duration {
        let now_ns = self.core.admission.clock.now_ns();
        let state = self.core.admission.lock();
        state
            .shares
            .get(self.core.index)
            .map_or(Duration::from_secs(RETRY_AFTER_MIN_S), |s| s.retry_after(now_ns))
    }

    /// Changes the limits. Permits already out and waiters already in stay; new room is handed
    /// out at once.
    pub fn set_limits(&self, limits: ShareLimits) {
        let admission = &self.core.admission;
        self.core.weight.store(weight(limits), Ordering::Relaxed);
        let mut state = admission.lock();
        if let Some(s) = state.shares.get_mut(self.core.index) {
            s.concurrency = limits.concurrency.max(1);
            s.queue = limits.queue;
        }
        state.take_turns(self.core.index);
        let wakers = state.grant_all(admission.runs_max);
        drop(state);
        wake_all(wakers);
    }

    /// Waiters in line and permits out.
    pub fn occupancy(&self) -> (usize, usize) {
        let state = self.core.admission.lock();
        state.shares.get(self.core.index).map_or((0, 0), |s| (s.waiting, s.permits))
    }
}

impl Admission {
    fn has_room(&self, state: &State, share: usize) -> bool {
        state.permits < self.runs_max
            && state.shares.get(share).is_some_and(|s| s.waiting == 0 && s.permits < s.concurrency)
    }
}

impl State {
    fn refuse_full(&mut self, share: usize, now_ns: u64) -> Refused {
        self.refused += 1;
        let retry_after =
            self.shares.get(share).map_or(Duration::from_secs(RETRY_AFTER_MIN_S), |s| s.retry_after(now_ns));
        Refused::QueueFull { retry_after }
    }
}

/// Waits for a permit; see [`Share::enter`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Enter {
    core: Option<Arc<ShareCore>>,
    waiter: Option<usize>,
}

impl fmt::Debug for Enter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").field("waiting", &self.waiter.is_some()).finish_non_exhaustive()
    }
}

impl Future for Enter {
    type Output = Result<Permit, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(core) = this.core.as_ref() else {
            // Polled after it was ready: nothing better to say, and no panic.
            return Poll::Ready(Err(Refused::Draining));
        };
        let admission = &core.admission;
        let mut state = admission.lock();
        let Some(waiter) = this.waiter else {
            if state.closed {
                state.refused += 1;
                drop(state);
                this.core = None;
                return Poll::Ready(Err(Refused::Draining));
            }
            if admission.has_room(&state, core.index) {
                state.count_in(core.index);
                drop(state);
                return Poll::Ready(this.core.take().map(|core| Permit { core }).ok_or(Refused::Draining));
            }
            let full = state.shares.get(core.index).is_none_or(|s| s.waiting >= s.queue);
            if full {
                let now_ns = admission.clock.now_ns();
                let refused = state.refuse_full(core.index, now_ns);
                drop(state);
                this.core = None;
                return Poll::Ready(Err(refused));
            }
            this.waiter = Some(state.join_queue(core.index, cx.waker().clone()));
            return Poll::Pending;
        };
        let standing = state.waiters.get(waiter).map_or(Standing::Refused, |w| w.standing);
        if standing == Standing::Waiting {
            let mut old = None;
            if let Some(w) = state.waiters.get_mut(waiter)
                && !w.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker()))
            {
                old = w.waker.replace(cx.waker().clone());
            }
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        let old = state.free_waiter(waiter);
        drop(state);
        drop(old);
        this.waiter = None;
        let core = this.core.take();
        Poll::Ready(match (standing, core) {
            (Standing::Granted, Some(core)) => Ok(Permit { core }),
            _ => Err(Refused::Draining),
        })
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let (Some(core), Some(waiter)) = (self.core.take(), self.waiter) else {
            return;
        };
        let mut state = core.admission.lock();
        let standing = state.waiters.get(waiter).map_or(Standing::Refused, |w| w.standing);
        if standing == Standing::Waiting {
            state.leave_queue(waiter);
        }
        let old = state.free_waiter(waiter);
        drop(state);
        drop(old);
        if standing == Standing::Granted {
            core.admission.give_back(core.index);
        }
    }
}

/// The right to have one run in flight. Goes back when the run has ended and its future is
/// dropped, or when it is dropped unused.
pub struct Permit {
    core: Arc<ShareCore>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("share", &self.core.index).finish()
    }
}

impl Permit {
    /// The share's number, which is nobody else's while the permit is out.
    pub(crate) fn share(&self) -> u32 {
        u32::try_from(self.core.index).unwrap_or(0)
    }

    /// The share's weight at this moment, within its range.
    pub(crate) fn weight(&self) -> u32 {
        self.core.weight.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.core.admission.give_back(self.core.index);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use std::pin::pin;

    fn poll(enter: Pin<&mut Enter>) -> Poll<Result<Permit, Refused>> {
        enter.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn shares_that_wait_at_their_ceiling_are_not_looked_at_when_others_return_permits() {
        let admission = Admission::new(Clock::new(), 10_000);
        let one = ShareLimits { concurrency: 1, queue: 1, weight: 1 };
        let narrow: Vec<_> = (0..1000).map(|_| admission.share(one)).collect();
        let mut permits: Vec<_> = narrow.iter().map(|share| share.try_enter().unwrap()).collect();
        let mut waiters: Vec<_> = narrow.iter().map(|share| Box::pin(share.enter())).collect();
        for waiter in &mut waiters {
            assert!(poll(waiter.as_mut()).is_pending());
        }
        assert_eq!(admission.lock().turn.len(), 0);
        // Back in turn by room of their own, which they lose again before the machine has any.
        let wide = admission.share(ShareLimits { concurrency: 9000, ..one });
        let mut others: Vec<_> = (0..9000).map(|_| wide.try_enter().unwrap()).collect();
        narrow.iter().for_each(|share| share.set_limits(ShareLimits { concurrency: 2, ..one }));
        narrow.iter().for_each(|share| share.set_limits(one));
        assert_eq!(admission.lock().turn.len(), 1000);
        let mut next = pin!(wide.enter());
        assert!(poll(next.as_mut()).is_pending());
        others.pop();
        assert!(poll(next.as_mut()).is_ready(), "behind a thousand that have no room");
        assert_eq!(admission.lock().turn.len(), 0, "they were looked at once");
        // Each comes back with its own permit.
        for waiter in &mut waiters {
            assert!(poll(waiter.as_mut()).is_pending());
            permits.remove(0);
            assert!(poll(waiter.as_mut()).is_ready());
        }
        assert_eq!(admission.lock().turn.len(), 0);
    }

    #[test]
    fn a_share_that_is_gone_leaves_no_turn_to_the_next_of_its_number() {
        let admission = Admission::new(Clock::new(), 1);
        let limits = ShareLimits { concurrency: 1, queue: 1, weight: 1 };
        let holder = admission.share(limits);
        let permit = holder.try_enter().unwrap();
        let gone = admission.share(limits);
        let mut waiter = Box::pin(gone.enter());
        assert!(poll(waiter.as_mut()).is_pending());
        drop((waiter, gone));
        let heir = admission.share(limits);
        let mut waiter = pin!(heir.enter());
        assert!(poll(waiter.as_mut()).is_pending());
        assert_eq!(admission.lock().turn.len(), 1);
        drop(permit);
        assert!(poll(waiter.as_mut()).is_ready());
    }
}
