//! How far a run is: the last report of its guest and the memory it holds, shared with whoever asked for
//! the run.
//!
//! One report replaces the other; nothing is queued. Knows no run and no task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept of a message: one line of a terminal or of a page.
const MESSAGE_BYTES_MAX: usize = 200;

/// See the file's page. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    report: Mutex<Option<(f64, String)>>,
    memory_bytes: AtomicU64,
}

impl Progress {
    /// The last report: fraction in 0..=1 and message.
    #[must_use]
    pub fn last(&self) -> Option<(f64, String)> {
        self.0.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most bytes of memories and tables that the run held at once.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes.load(Ordering::Relaxed)
    }

    /// The run holds more than ever. Only its own worker says so.
    pub(crate) fn grew(&self, bytes: u64) {
        self.0.memory_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Replaces the report; a fraction outside of 0..=1 is taken as the nearest, NaN as 0.
    pub fn report(&self, fraction: f64, message: String) {
        // A copy, since truncating would keep the guest's whole string allocated.
        let message =
            message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default().to_owned();
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        *self.0.report.lock().unwrap_or_else(PoisonError::into_inner) = Some((fraction, message));
    }
}
