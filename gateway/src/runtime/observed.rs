//! What of a run can be seen from outside: where it is while it lives, its last words once stopped.
//!
//! A run's own result is lost when the pool stops it, so the error that unwound the guest, with its
//! backtrace, is left here for whoever asked. Shared between the caller's side and the run.

use super::outgoing::Traced;
use crate::error::Error;
use crate::traces::Call;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use unblock_host::{Host, Progress, Ring};
use unblock_pool::{Glance, Run};

/// See the module's page. Clones share what they show.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    id: Arc<str>,
    pub(super) progress: Progress,
    trace: Option<Call>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stopped: Mutex<Option<Error>>,
    /// There once the run has had its first slice.
    run: OnceLock<Begun>,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

#[derive(Debug)]
struct Begun {
    run: Run,
    stdout: Ring,
    stderr: Ring,
}

/// What a guest printed last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// To its standard output, where that is not its answer.
    pub stdout: Option<String>,
    /// To its standard error.
    pub stderr: Option<String>,
    /// Bytes of standard output before that.
    pub stdout_before_bytes: u64,
    /// Bytes of standard error before that.
    pub stderr_before_bytes: u64,
}

impl Observed {
    /// A call of that id, which nothing is known of yet.
    #[must_use]
    pub fn of(id: Arc<str>) -> Self {
        Self { id, ..Self::default() }
    }

    /// The same, as a part of a trace.
    #[must_use]
    pub fn traced(self, trace: Option<Call>) -> Self {
        Self { trace, ..self }
    }

    /// Its trace, if calls are traced.
    #[must_use]
    pub fn trace(&self) -> Option<&Call> {
        self.trace.as_ref()
    }

    /// The call's id; empty if nobody gave it one.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The last report: fraction in 0..=1 and message.
    #[must_use]
    pub fn progress(&self) -> Option<(f64, String)> {
        self.progress.last()
    }

    /// Where the run is; `None` before its first slice.
    #[must_use]
    pub fn glance(&self) -> Option<Glance> {
        self.seen.run.get().map(|begun| begun.run.glance())
    }

    /// The most bytes of memories and tables that it held at once.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.progress.memory_bytes()
    }

    /// The last lines the guest printed, at most `lines_max` of each stream in `bytes_max` bytes.
    #[must_use]
    pub fn printed(&self, lines_max: usize, bytes_max: usize) -> Printed {
        let Some(begun) = self.seen.run.get() else { return Printed::default() };
        let last = |ring: &Ring| ring.last(lines_max, bytes_max).map(|tail| (tail.text, tail.before_bytes));
        let (stdout, stdout_before_bytes) = last(&begun.stdout).unzip();
        let (stderr, stderr_before_bytes) = last(&begun.stderr).unzip();
        Printed {
            stdout,
            stderr,
            stdout_before_bytes: stdout_before_bytes.unwrap_or(0),
            stderr_before_bytes: stderr_before_bytes.unwrap_or(0),
        }
    }

    /// So many bytes of the request have come.
    pub fn received(&self, bytes: u64) {
        self.seen.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes of the response were made.
    pub fn sent(&self, bytes: u64) {
        self.seen.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes that have come, and those that were made.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.seen.received_bytes), of(&self.seen.sent_bytes))
    }

    /// The error a stopped run ended with; `None` if it was not running when it was stopped.
    #[must_use]
    pub fn take_stopped(&self) -> Option<Error> {
        self.seen.stopped.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The run has its first slice.
    pub(super) fn begin(&self, run: &Run, host: &mut Host) {
        if let Some(trace) = &self.trace {
            host.watch_requests(Arc::new(Traced(trace.clone())));
        }
        let begun = Begun { run: run.clone(), stdout: host.stdout.clone(), stderr: host.stderr.clone() };
        // A second one would be another run's, which has an `Observed` of its own.
        let _ = self.seen.run.set(begun);
    }

    pub(super) fn stop(&self, error: Error) {
        *self.seen.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}
