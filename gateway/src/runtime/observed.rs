//! What of a run can be seen from outside: its progress while it lives, its last words once stopped.
//!
//! A run's own result is lost when the pool stops it, so the error that unwound the guest, with its
//! backtrace, is left here for whoever asked. Shared between the caller's side and the run.

use crate::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes kept of a progress message: one line of a terminal or of a page.
const MESSAGE_BYTES_MAX: usize = 200;

/// See the module's page. Clones share what they show.
#[derive(Clone, Debug, Default)]
pub struct Observed(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    progress: Option<(f64, String)>,
    stopped: Option<Error>,
}

impl Observed {
    /// The last report: fraction in 0..=1 and message.
    #[must_use]
    pub fn progress(&self) -> Option<(f64, String)> {
        self.seen().progress.clone()
    }

    /// The error a stopped run ended with; `None` if it was not running when it was stopped.
    #[must_use]
    pub fn take_stopped(&self) -> Option<Error> {
        self.seen().stopped.take()
    }

    pub(super) fn report(&self, fraction: f64, mut message: String) {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.seen().progress = Some((fraction, message));
    }

    pub(super) fn stop(&self, error: Error) {
        self.seen().stopped = Some(error);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
