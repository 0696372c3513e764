//! A mutex that no panic poisons for others; with the feature `measure`, one that writes down how
//! long it was held and how often it was waited for.
//!
//! The feature is for `just pool-locks`, from which `docs/pool.md` takes its figures; without it
//! nothing is measured. Must not know what is locked.

#[cfg(feature = "measure")]
pub(crate) use measured::{Held, Lock};
#[cfg(not(feature = "measure"))]
pub(crate) use plain::{Held, Lock};

#[cfg(not(feature = "measure"))]
mod plain {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    pub(crate) type Held<'a, T> = MutexGuard<'a, T>;

    #[derive(Debug)]
    pub(crate) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        /// The name is for the figures.
        pub(crate) fn new(_name: &'static str, value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> Held<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

/// What was seen of all locks of one name.
#[cfg(feature = "measure")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFigures {
    /// What it protects.
    pub name: &'static str,
    /// Times it was taken.
    pub taken: u64,
    /// Of these, times somebody else had it.
    pub waited: u64,
    /// How long it was held, by nanoseconds; the last entry holds all that is longer.
    pub held_ns: Vec<u64>,
}

#[cfg(feature = "measure")]
mod measured {
    use super::LockFigures;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
    use std::time::Instant;

    const HELD_NS_MAX: usize = 10_000;

    struct Book {
        name: &'static str,
        taken: AtomicU64,
        waited: AtomicU64,
        held_ns: Vec<AtomicU64>,
    }

    static BOOKS: Mutex<Vec<&'static Book>> = Mutex::new(Vec::new());

    fn book(name: &'static str) -> &'static Book {
        let mut books = BOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = books.iter().find(|b| b.name == name) {
            return book;
        }
        // One per name, for the life of a measuring process.
        let book: &'static Book = Box::leak(Box::new(Book {
            name,
            taken: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            held_ns: (0..=HELD_NS_MAX).map(|_| AtomicU64::new(0)).collect(),
        }));
        books.push(book);
        book
    }

    pub(crate) fn figures() -> Vec<LockFigures> {
        let books = BOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |b: &&Book| LockFigures {
            name: b.name,
            taken: b.taken.swap(0, Relaxed),
            waited: b.waited.swap(0, Relaxed),
            held_ns: b.held_ns.iter().map(|n| n.swap(0, Relaxed)).collect(),
        };
        books.iter().map(read).collect()
    }

    pub(crate) struct Lock<T> {
        mutex: Mutex<T>,
        book: &'static Book,
    }

    impl<T> Lock<T> {
        pub(crate) fn new(name: &'static str, value: T) -> Self {
            Self { mutex: Mutex::new(value), book: book(name) }
        }

        pub(crate) fn lock(&self) -> Held<'_, T> {
            let (guard, waited) = match self.mutex.try_lock() {
                Ok(guard) => (guard, false),
                Err(TryLockError::Poisoned(poisoned)) => (poisoned.into_inner(), false),
                Err(TryLockError::WouldBlock) => {
                    (self.mutex.lock().unwrap_or_else(PoisonError::into_inner), true)
                }
            };
            Held { guard: Some(guard), waited, since: Instant::now(), book: self.book }
        }
    }

    pub(crate) struct Held<'a, T> {
        guard: Option<MutexGuard<'a, T>>,
        waited: bool,
        since: Instant,
        book: &'static Book,
    }

    impl<T> Deref for Held<'_, T> {
        type Target = T;
        #[allow(clippy::expect_used, reason = "the guard is there until the drop; measuring build only")]
        fn deref(&self) -> &T {
            self.guard.as_ref().expect("held until dropped")
        }
    }

    impl<T> DerefMut for Held<'_, T> {
        #[allow(clippy::expect_used, reason = "the guard is there until the drop; measuring build only")]
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("held until dropped")
        }
    }

    impl<T> Drop for Held<'_, T> {
        fn drop(&mut self) {
            let held_ns = usize::try_from(self.since.elapsed().as_nanos()).unwrap_or(HELD_NS_MAX);
            self.guard = None;
            self.book.taken.fetch_add(1, Relaxed);
            self.book.waited.fetch_add(u64::from(self.waited), Relaxed);
            if let Some(n) = self.book.held_ns.get(held_ns.min(HELD_NS_MAX)) {
                n.fetch_add(1, Relaxed);
            }
        }
    }
}

/// What was seen since the last call, of each name; then counting starts anew.
#[cfg(feature = "measure")]
pub fn lock_figures() -> Vec<LockFigures> {
    measured::figures()
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    #[allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
    fn a_panic_while_it_is_held_locks_nobody_out() {
        let lock = Lock::new("test", 1);
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                *lock.lock() += 1;
                let _held = lock.lock();
                panic!("while the lock is held");
            });
            holder.join().unwrap_err();
        });
        assert_eq!(*lock.lock(), 2);
    }
}
