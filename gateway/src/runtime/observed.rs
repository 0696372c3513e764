//! What of a run can be seen from outside: its progress while it lives, its last words once stopped.
//!
//! A run's own result is lost when the pool stops it, so the error that unwound the guest, with its
//! backtrace, is left here for whoever asked. Shared between the caller's side and the run.

use crate::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use unblock_host::Progress;

/// See the module's page. Clones share what they show.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub(super) progress: Progress,
    stopped: Arc<Mutex<Option<Error>>>,
}

impl Observed {
    /// The last report: fraction in 0..=1 and message.
    #[must_use]
    pub fn progress(&self) -> Option<(f64, String)> {
        self.progress.last()
    }

    /// The error a stopped run ended with; `None` if it was not running when it was stopped.
    #[must_use]
    pub fn take_stopped(&self) -> Option<Error> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn stop(&self, error: Error) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}
