//! Many wakers behind one: for what keeps a single waker although several wait for it.
//!
//! A guest may have several streams open on its standard input or output, and each waits with a waker of
//! its own; to keep the last one only would let the others wait for ever. Knows no streams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Wakers kept at once. Streams that a guest dropped while they waited leave theirs behind; at so many
/// all are woken, and those that still wait come back.
const WAITERS_MAX: usize = 1024;

/// Who waits for the same thing. As a waker it wakes them all.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, waker: &Waker) {
        let crowd = {
            let mut waiting = self.lock();
            if waiting.iter().any(|other| other.will_wake(waker)) {
                return;
            }
            let full = waiting.len() >= WAITERS_MAX;
            let crowd = if full { std::mem::take(&mut *waiting) } else { Vec::new() };
            waiting.push(waker.clone());
            crowd
        };
        crowd.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn wake_all(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often it was woken.
    #[derive(Default)]
    pub(crate) struct Woken(pub(crate) AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_is_woken_once_however_often_it_asked() {
        let (waiters, one, other) =
            (Waiters::default(), Arc::new(Woken::default()), Arc::new(Woken::default()));
        for who in [&one, &other, &one] {
            waiters.add(&Waker::from(Arc::clone(who)));
        }
        waiters.wake_all();
        waiters.wake_all();
        assert_eq!((one.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn those_that_nobody_wakes_do_not_pile_up() {
        let waiters = Waiters::default();
        let first = Arc::new(Woken::default());
        waiters.add(&Waker::from(Arc::clone(&first)));
        for _ in 0..3 * WAITERS_MAX {
            waiters.add(&Waker::from(Arc::new(Woken::default())));
        }
        assert!(waiters.lock().len() <= WAITERS_MAX);
        assert_eq!(first.0.load(Ordering::Relaxed), 1, "asked to come back");
    }
}
