//! The epoch callback: what a guest is asked at every loop back-edge once the epoch has moved.
//!
//! The engine's epoch is only a doorbell. Whether a run goes on, yields its worker or stops is the
//! pool's decision, asked through the handle of the run; a store's own deadline is stale on the
//! first slice and after a host wait, so an early ring costs one question and never a turn. Here is also
//! where a guest can be looked at (`sample.rs`).

use super::sample::Sampling;
use std::fmt;
use unblock_host::Host;
use unblock_pool::{Run, Stop, Verdict};
use wasmtime::{Store, UpdateDeadline};

/// The error a guest is unwound with when its run has to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stopped(pub Stop);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run was stopped: {:?}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// Lets the pool decide at every change of the epoch, and samples be taken.
pub(super) fn arm(store: &mut Store<Host>, run: Run, mut sampling: Sampling) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |store| {
        let verdict = run.verdict();
        if let Verdict::Stop(Stop::Cancelled | Stop::Shutdown) = verdict {
            // Nobody is left to read where the guest was: the pool drops it at the yield.
            return Ok(UpdateDeadline::Yield(1));
        }
        sampling.look(&store, &run);
        match verdict {
            Verdict::Continue => Ok(UpdateDeadline::Continue(1)),
            Verdict::Yield => Ok(UpdateDeadline::Yield(1)),
            // An error instead of a yield: it carries the guest's backtrace to the caller.
            Verdict::Stop(why) => Err(wasmtime::Error::from(Stopped(why))),
        }
    });
}
