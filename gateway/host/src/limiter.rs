//! Accounting of one store's memories and tables, summed over all of its instances.
//!
//! wasmtime's own limits are per memory; a component may hold many. What a run holds is also charged to
//! the budget of the whole process. A refused growth is remembered, so that the crash which usually
//! follows is reported as what it is. Knows no task and no pool.

use crate::memory::Charge;
use crate::progress::Progress;
use wasmtime::ResourceLimiter;

/// Bytes of one table element, as wasmtime lays it out.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Instances that one run may create; a component of many small modules needs dozens. A little over
/// what the engine allows a component (runtime/engine.rs), which is refused at load already.
const INSTANCES_MAX: usize = 80;

/// Memories that one run may hold.
const MEMORIES_MAX: usize = 16;

/// Tables that one run may hold.
const TABLES_MAX: usize = 80;

/// Sums what a run's instances hold, and refuses growth over the limit.
#[derive(Debug)]
pub struct Limiter {
    limit_bytes: usize,
    held_bytes: usize,
    peak_bytes: usize,
    last_bytes: usize,
    refused: bool,
    crowded_out: bool,
    host_failed: bool,
    charge: Charge,
    /// What is charged beside memories and tables.
    overhead_bytes: u64,
    progress: Progress,
}

impl Limiter {
    /// A limiter that allows `limit_bytes` in all. Of what `charge` holds already, `overhead_bytes` are for
    /// other things than memories and tables. What the run holds at most is shown by `progress`.
    #[must_use]
    pub fn new(limit_bytes: u64, charge: Charge, overhead_bytes: u64, progress: Progress) -> Self {
        Self {
            progress,
            charge,
            overhead_bytes,
            crowded_out: false,
            limit_bytes: usize::try_from(limit_bytes).unwrap_or(usize::MAX),
            held_bytes: 0,
            peak_bytes: 0,
            last_bytes: 0,
            refused: false,
            host_failed: false,
        }
    }

    /// Whether a growth was refused.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Whether a growth within the limit was refused because all runs together hold what the process may.
    #[must_use]
    pub fn crowded_out(&self) -> bool {
        self.crowded_out
    }

    /// What is charged to the budget of the process for this run.
    #[must_use]
    pub fn charge(&self) -> &Charge {
        &self.charge
    }

    /// Whether the system refused a growth that this limiter allowed.
    #[must_use]
    pub fn host_failed(&self) -> bool {
        self.host_failed
    }

    fn grow(&mut self, by: usize) -> bool {
        match self.held_bytes.checked_add(by) {
            Some(sum) if sum <= self.limit_bytes => {
                if !self.charge.reach(self.overhead_bytes.saturating_add(sum as u64)) {
                    self.crowded_out = true;
                    return false;
                }
                self.held_bytes = sum;
                self.last_bytes = by;
                if sum > self.peak_bytes {
                    self.peak_bytes = sum;
                    self.progress.grew(sum as u64);
                }
                true
            }
            _ => {
                self.refused = true;
                false
            }
        }
    }
}

impl Limiter {
    /// Takes back the last charge: the system had no memory for it.
    fn growth_failed(&mut self) {
        self.held_bytes = self.held_bytes.saturating_sub(std::mem::take(&mut self.last_bytes));
        self.host_failed = true;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own maximum, not ours: it fails anyway and is not charged.
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.growth_failed();
        Ok(())
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.growth_failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn limiter(limit_bytes: u64) -> Limiter {
        Limiter::new(limit_bytes, Memory::new(1 << 40).charge(0).expect("fits"), 0, Progress::default())
    }

    #[test]
    fn growth_is_charged_to_the_process_beyond_what_was_paid_for() -> wasmtime::Result<()> {
        let memory = Memory::new(300_000);
        let charge = memory.charge(100_000).expect("fits");
        let mut limiter = Limiter::new(1 << 30, charge, 30_000, Progress::default());
        assert!(limiter.memory_growing(0, 65_536, None)?);
        assert_eq!(memory.held_bytes(), 100_000, "its minimum was charged before");
        assert!(limiter.memory_growing(65_536, 131_072, None)?);
        assert_eq!(memory.held_bytes(), 161_072);
        assert!(!limiter.memory_growing(131_072, 1_310_720, None)?);
        assert!(limiter.crowded_out() && !limiter.refused());
        assert_eq!((memory.held_bytes(), limiter.progress.memory_bytes()), (161_072, 131_072));
        drop(limiter);
        assert_eq!(memory.held_bytes(), 0);
        Ok(())
    }

    #[test]
    fn memories_and_tables_are_summed() -> wasmtime::Result<()> {
        let mut limiter = limiter(200_000);
        assert!(limiter.memory_growing(0, 65_536, None)?);
        assert!(limiter.memory_growing(0, 65_536, None)?);
        assert!(limiter.table_growing(0, 8_000, None)?);
        assert!(!limiter.refused());
        assert!(!limiter.table_growing(8_000, 16_000, None)?);
        assert!(limiter.refused());
        assert_eq!(limiter.progress.memory_bytes(), 2 * 65_536 + 64_000);
        Ok(())
    }

    #[test]
    fn a_modules_own_maximum_is_not_our_refusal() -> wasmtime::Result<()> {
        let mut limiter = limiter(1 << 30);
        assert!(!limiter.memory_growing(65_536, 131_072, Some(65_536))?);
        assert!(!limiter.refused());
        Ok(())
    }
}
