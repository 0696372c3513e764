//! The edge counters that `instrument` has the compiler put in, and what was ever seen in them.
//!
//! Without instrumentation there are none, and nothing is ever new. Knows no inputs.

use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

static START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Called by each instrumented object before `main`, always with the bounds of the same section.
///
/// # Safety
/// `start` and `end` are the bounds of one array, which lives as long as the process.
// SAFETY: the name is the one that LLVM's sancov pass calls, and nothing else defines it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    START.store(start, Ordering::Relaxed);
    LENGTH.store((end as usize).saturating_sub(start as usize), Ordering::Relaxed);
}

/// What was seen so far: a bit per edge and order of magnitude of its count.
#[derive(Default)]
pub struct Coverage {
    seen: Vec<u8>,
}

impl Coverage {
    fn counters() -> &'static [AtomicU8] {
        let start = START.load(Ordering::Relaxed);
        if start.is_null() {
            return &[];
        }
        // SAFETY: the bounds of a static array of bytes, as the compiler gave them; the code that counts writes them
        // without synchronization, which at worst loses a count.
        unsafe { std::slice::from_raw_parts(start.cast::<AtomicU8>(), LENGTH.load(Ordering::Relaxed)) }
    }

    /// Edges there are.
    #[must_use]
    pub fn edges() -> usize {
        Self::counters().len()
    }

    /// Starts counting anew.
    pub fn clear() {
        for counter in Self::counters() {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Takes in what was counted; whether some of it is new.
    pub fn take(&mut self) -> bool {
        let counters = Self::counters();
        self.seen.resize(counters.len(), 0);
        let mut new = false;
        for (seen, counter) in self.seen.iter_mut().zip(counters) {
            let bit = match counter.load(Ordering::Relaxed) {
                0 => 0,
                1 => 1,
                2..=3 => 2,
                4..=15 => 4,
                16..=127 => 8,
                _ => 16,
            };
            new |= bit & !*seen != 0;
            *seen |= bit;
        }
        new
    }

    /// Edges that were reached.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.seen.iter().filter(|seen| **seen != 0).count()
    }
}
