//! What became of the folder's modules since the start, counted.
//!
//! Changed by the thread that decides (`slots.rs`), read by anybody. Knows not why something failed:
//! that stands in the snapshot.

use crate::observe::Histogram;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The numbers of a moment.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    /// Tasks that began to serve.
    pub loaded: u64,
    /// Versions that took the place of another, because of their module or their manifest.
    pub replaced: u64,
    /// Tasks that ceased to serve.
    pub removed: u64,
    /// Files that were found wanting, each time anew.
    pub failed: u64,
    /// How long modules took to be read, compiled or taken from the cache, and linked, those that could
    /// not be served among them.
    pub prepared: Histogram,
}

/// See the file's page.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Loads>);

impl Counts {
    /// The numbers of this moment.
    pub fn read(&self) -> Loads {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Loads)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn loaded(&self) {
        self.change(|loads| loads.loaded += 1);
    }

    pub fn replaced(&self) {
        self.change(|loads| loads.replaced += 1);
    }

    pub fn removed(&self) {
        self.change(|loads| loads.removed += 1);
    }

    pub fn failed(&self) {
        self.change(|loads| loads.failed += 1);
    }

    pub fn prepared(&self, took: Duration) {
        self.change(|loads| loads.prepared.record(took));
    }
}
