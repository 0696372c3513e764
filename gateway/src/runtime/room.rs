//! Room for modules: how many the process's memory maps allow beside its runs.
//!
//! Each loaded module takes some of the maps that the kernel allows a process, and so does each run.
//! A module over the number is refused at load, with what raises it, instead of runs that fail for
//! want of maps. Knows no modules, it only counts them.

use super::engine::{RUNS_MIN, Runs};
use crate::error::LoadError;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for modules.
pub struct Room {
    places: Arc<Semaphore>,
    runs: Runs,
}

/// The place of one module, free again when dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// As many as there are maps beside those of the runs.
    #[must_use]
    pub fn beside(runs: Runs) -> Self {
        let places = runs.modules_max().min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), runs }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// There is none left.
    pub fn take(&self) -> Result<Place, LoadError> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Ok(Place { _permit: permit }),
            Err(_) => Err(self.full()),
        }
    }

    fn full(&self) -> LoadError {
        let Runs { count, max_map_count, .. } = self.runs;
        let mut remedies = vec![format!(
            "raise the limit and restart: sysctl -w vm.max_map_count={}",
            max_map_count.saturating_mul(2)
        )];
        if count > RUNS_MIN {
            remedies.push(format!(
                "or lower --max-runs, now {count}; without that flag a restart fits it to the modules in the folder"
            ));
        }
        remedies.push("or remove other modules, then touch this one".to_owned());
        LoadError {
            reason: format!(
                "there is no room for one more module: vm.max_map_count is {max_map_count}, which is enough for {} \
                 modules beside {count} runs in flight",
                self.runs.modules_max(),
            ),
            remedies,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_room_is_refused_until_another_goes() {
        let runs =
            Runs { count: 16, max_map_count: 16 * 6 + 1_000 + 4 * 2, memory_bytes: 1 << 30, modules: 0 };
        let room = Room::beside(runs);
        let mut taken: Vec<Place> = (0..4).map(|_| room.take().unwrap()).collect();
        let refused = room.take().err().unwrap();
        assert!(refused.reason.contains("enough for 4 modules beside 16 runs"), "{refused}");
        taken.pop();
        assert!(room.take().is_ok());
    }
}
