//! One budget of memory for everything the process holds for its callers: guests, bodies, results.
//!
//! Whoever takes memory asks first and holds a [`Charge`] for as long as it has it. So the sum stays
//! under what the operator allowed, and the kernel's out-of-memory killer has no reason to come. What is
//! counted is what may be touched, not what is resident. Knows not what a charge is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The budget.
#[derive(Debug)]
pub struct Memory {
    held_bytes: AtomicU64,
    bytes_max: u64,
}

impl Memory {
    /// A budget of that many bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { held_bytes: AtomicU64::new(0), bytes_max })
    }

    /// The budget in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What all charges hold now, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Charges so many bytes; `None` if that is more than what is left.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        let mut charge = Charge { memory: Arc::clone(self), bytes: 0 };
        charge.grow(bytes).then_some(charge)
    }

    fn take(&self, bytes: u64) -> bool {
        // Not one addition that is taken back: two that are refused would refuse a third that fits.
        self.held_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)
            })
            .is_ok()
    }
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Charge {
    /// The budget it is a part of.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// What it holds, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes so many bytes more; `false`, and nothing taken, if that is more than what is left.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let taken = self.memory.take(bytes);
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Takes what is missing to so many bytes; see [`Charge::grow`].
    #[must_use]
    pub fn reach(&mut self, bytes: u64) -> bool {
        self.grow(bytes.saturating_sub(self.bytes))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_share_the_budget_and_give_it_back() {
        let memory = Memory::new(100);
        let mut first = memory.charge(60).expect("fits");
        assert!(memory.charge(41).is_none());
        assert!(first.grow(30) && !first.grow(11));
        assert!(first.reach(80), "it holds more already");
        assert_eq!((first.bytes(), memory.held_bytes()), (90, 90));
        let second = memory.charge(10).expect("fits");
        drop(first);
        assert_eq!(memory.held_bytes(), 10);
        assert!(memory.charge(u64::MAX).is_none(), "no overflow");
        drop(second);
        assert_eq!(memory.held_bytes(), 0);
    }
}
