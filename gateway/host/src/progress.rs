//! How far a run says it is: the last report of its guest, shared with whoever asked for the run.
//!
//! One report replaces the other; nothing is queued. Knows no run and no task.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept of a message: one line of a terminal or of a page.
const MESSAGE_BYTES_MAX: usize = 200;

/// The last report of a run. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<(f64, String)>>>);

impl Progress {
    /// The last report: fraction in 0..=1 and message.
    #[must_use]
    pub fn last(&self) -> Option<(f64, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the report; a fraction outside of 0..=1 is taken as the nearest, NaN as 0.
    pub fn report(&self, fraction: f64, message: String) {
        // A copy, since truncating would keep the guest's whole string allocated.
        let message =
            message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default().to_owned();
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((fraction, message));
    }
}
