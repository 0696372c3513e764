//! The gateway's interfaces as plain functions: progress, and the time that is left.
//!
//! Outside of WebAssembly, in a task's own tests, there is no gateway: reports go nowhere and time
//! does not run out. The contract itself is `wit/task.wit`.

use std::time::Duration;

#[cfg(target_family = "wasm")]
pub mod bindings {
    //! Made from the contract.
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        reason = "generated from WIT, where the documentation is"
    )]
    wit_bindgen::generate!({ path: "../../wit", world: "task", generate_all });
}

/// Reports the `fraction` that is done, from 0 to 1, and what is going on, for people to read.
///
/// Replaces the previous report. A fraction outside of 0 to 1 is taken as the nearest of these.
/// Reports are cheap, but there is no use in more than a few a second.
pub fn progress(fraction: f64, message: &str) {
    #[cfg(target_family = "wasm")]
    bindings::unblock::task::progress::report(fraction, message);
    #[cfg(not(target_family = "wasm"))]
    let _ = (fraction, message);
}

/// What is left of a call's two time budgets; [`Duration::MAX`] where there is no limit.
///
/// A call that overruns either is stopped wherever it is, without a chance to clean up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Time on the clock, whether the task computes or waits.
    pub wall: Duration,
    /// Time on a processor; waiting costs none of it.
    pub cpu: Duration,
}

/// How much time is left, for work that can be cut short or made coarser.
#[must_use]
pub fn remaining() -> Remaining {
    #[cfg(target_family = "wasm")]
    let (wall, cpu) = {
        use bindings::unblock::task::remaining;
        let duration = |nanoseconds| match nanoseconds {
            u64::MAX => Duration::MAX,
            nanoseconds => Duration::from_nanos(nanoseconds),
        };
        (duration(remaining::wall()), duration(remaining::cpu()))
    };
    #[cfg(not(target_family = "wasm"))]
    let (wall, cpu) = (Duration::MAX, Duration::MAX);
    Remaining { wall, cpu }
}
