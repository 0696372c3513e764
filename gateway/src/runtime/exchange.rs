//! One run of a guest of streams: instantiate, hand over, and go on until the guest has ended.
//!
//! The head of the response is sent as soon as it is known, its body flows while the guest runs, and
//! the guest may go on after both within its budgets. How each kind of guest is driven stands in
//! `http_guest.rs`, `command.rs` and `stream_call.rs`. Knows no queue and no server.

use super::arguments::{self, Resolved};
use super::call::{Clock, Done};
use super::observed::Observed;
use super::sample::{Profiled, Sampling, Whose};
use super::{
    Function, Granted, Module, Prepared, RUN_OVERHEAD_BYTES, Runtime, command, epoch, http_guest, outcome,
    stream_call,
};
use crate::error::{Error, Kind};
use crate::exchange::{Command, Exchange, Fate, Head, Stream};
use crate::limits::Limits;
use crate::task::{Phase, Timing};
use std::sync::Arc;
use unblock_host::{Charge, Host, Limiter, Pipe, Request};
use unblock_pool::Run;

/// Everything one run needs, moved to the worker that starts it.
pub struct StartExchange {
    /// The engine's side.
    pub runtime: Arc<Runtime>,
    /// The task's module; kept until the run ends, also if a newer one is loaded meanwhile.
    pub prepared: Arc<Prepared>,
    /// What the guest is asked.
    pub exchange: Exchange,
    /// Where the response's head goes.
    pub head: Head,
    /// Told when the run breaks off.
    pub fate: Fate,
    /// The limits of this run.
    pub limits: Limits,
    /// Its part of the process's memory, [`Prepared::footprint_bytes`] at first.
    pub charge: Charge,
    /// What the run may use beyond computing.
    pub granted: Granted,
    /// What the caller's side sees of the run.
    pub observed: Observed,
    /// The number of the task's figures, for samples.
    pub task: u64,
    /// For a call that is to be profiled.
    pub profiled: Option<Profiled>,
}

/// How a guest's part went wrong.
pub(super) enum Fault {
    /// The engine's error, and the phase it happened in.
    Engine(wasmtime::Error, Phase),
    /// A finding of ours.
    Own(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

/// What the guest is asked, with a call's arguments decoded.
enum Asked<'a> {
    Http(http::Request<Stream>),
    Command(Command),
    Call(&'a Function, Resolved),
}

impl<'a> Asked<'a> {
    /// Beside it, what a guest that uses `unblock:task/body` reads.
    fn of(prepared: &'a Prepared, exchange: Exchange) -> Result<(Self, Request), Error> {
        Ok(match exchange {
            Exchange::Http(request) => (Self::Http(request), Request::default()),
            Exchange::Command(command) => (Self::Command(command), Request::default()),
            Exchange::Call(call) => {
                let index = call.function;
                let function = prepared
                    .functions
                    .get(index)
                    .ok_or_else(|| Error::internal(anyhow::anyhow!("function index {index} out of range")))?;
                let mut resolved = arguments::resolve(function, call.arguments)?;
                let request = std::mem::take(&mut resolved.request);
                (Self::Call(function, resolved), request)
            }
        })
    }
}

/// Closes a pipe whatever happens to the run.
struct Closing(Pipe);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl StartExchange {
    /// Runs the guest. Polled by the pool; dropping the future frees the instance.
    pub async fn run(self, run: Run) -> Done<()> {
        let mut timing = Timing::default();
        let result = self.phases(run, &mut timing).await;
        Done { result, timing }
    }

    async fn phases(self, run: Run, timing: &mut Timing) -> Result<(), Error> {
        let Self { runtime, prepared, exchange, head, fate, limits, charge, granted, observed, .. } = self;
        let sampling = Sampling::new(Whose { task: self.task, version: prepared.version }, self.profiled);
        let mut clock = Clock::start();
        // Dropped in the reverse order: first the fate is told, then the store goes, which ends the
        // bodies it writes, then the pipe.
        let pipe = Closing(Pipe::default());
        let (asked, request) = Asked::of(&prepared, exchange)?;
        let progress = observed.progress.clone();
        let limiter = Limiter::new(limits.memory, charge, RUN_OVERHEAD_BYTES, progress.clone());
        let mut host = Host::new(run.clone(), limiter, limits.output, request, progress, granted.0);
        observed.begin(&run, &mut host);
        let mut store = runtime.store(host, &limits, run, sampling);
        let watch = fate.watch();
        let ended = match (&prepared.module, asked) {
            (Module::Http(linked), Asked::Http(request)) => {
                http_guest::serve(linked, &mut store, request, head, &mut clock, timing).await
            }
            (Module::Command(linked), Asked::Command(command)) => {
                command::execute(linked, &mut store, command, &pipe.0, head, &mut clock, timing).await
            }
            (Module::Component(linked), Asked::Call(function, resolved)) => {
                let parts =
                    stream_call::Parts { linked, function, resolved, limits: &limits, pipe: &pipe.0, head };
                stream_call::execute(parts, &mut store, &mut clock, timing).await
            }
            _ => Err(Error::internal(anyhow::anyhow!("an exchange of another kind than its module")).into()),
        };
        timing.run = clock.lap();
        match ended {
            Ok(()) => {
                watch.ended_well();
                Ok(())
            }
            Err(Fault::Own(mut error)) => {
                if error.kind == Kind::TaskError || error.kind == Kind::BadResponse {
                    error.stderr = outcome::stderr(store.data());
                    error.hints = super::grants::hints(&store.data().refusals());
                }
                Err(error.at(Phase::Run))
            }
            Err(Fault::Engine(error, phase)) => {
                let stopped = error.is::<epoch::Stopped>();
                let error = outcome::failed(error, store.data(), &limits, phase);
                if stopped {
                    // The pool drops the result of a run it stopped; these words reach the caller.
                    observed.stop(error);
                    return Err(Error::new(Kind::Cancelled, "stopped"));
                }
                Err(error)
            }
        }
    }
}
