//! One run of a function: decode, instantiate, call, encode, each phase timed.
//!
//! The future made here is what the pool polls; between two polls the guest is parked on its own
//! stack. A fresh store and instance for every run, dropped with it. Knows no queue and no HTTP.

use super::arguments::Resolved;
use super::component::Returned;
use super::observed::Observed;
use super::sample::{Profiled, Sampling, Whose};
use super::{
    Call, Function, Granted, Module, Prepared, RUN_OVERHEAD_BYTES, Runtime, arguments, epoch, grants, outcome,
};
use crate::error::{Error, Kind};
use crate::limits::Limits;
use crate::task::{Arguments, Format, Output, Phase, Timing};
use crate::values::{EncodeError, Shape, bytes_of, encode, encode_wave, encode_wave_bytes};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unblock_host::{Charge, Host, Limiter, Response};
use unblock_pool::Run;
use wasmtime::Store;
use wasmtime::component::Val;

/// Host memory that dynamic values of one crossing may take, in bytes; 40 B each.
const DYNAMIC_VALUES_BYTES_MAX: u64 = 64 << 20;

/// Handles (streams, files, pollables) one run may hold; each costs host memory.
const HANDLES_MAX: usize = 10_000;

/// Everything one run needs, moved to the worker that starts it.
pub struct Start {
    /// The engine's side.
    pub runtime: Arc<Runtime>,
    /// The task's module; kept until the run ends, also if a newer one is loaded meanwhile.
    pub prepared: Arc<Prepared>,
    /// Index into [`Prepared::functions`].
    pub function: usize,
    /// What the caller sent.
    pub arguments: Arguments,
    /// How the result is to be written.
    pub format: Format,
    /// The limits of this run.
    pub limits: Limits,
    /// Its part of the process's memory, [`Prepared::footprint_bytes`] at first.
    pub charge: Charge,
    /// What it may use beyond computing.
    pub granted: Granted,
    /// What the caller's side sees of the run.
    pub observed: Observed,
    /// The number of the task's figures, for samples.
    pub task: u64,
    /// For a call that is to be profiled.
    pub profiled: Option<Profiled>,
}

/// What a run left behind.
pub struct Done<T> {
    /// Its result.
    pub result: Result<T, Error>,
    /// Its phases; queue and CPU time are the pool's to fill in.
    pub timing: Timing,
}

impl Start {
    /// Runs the call. Polled by the pool; dropping the future frees the instance.
    pub async fn run(self, run: Run) -> Done<Output> {
        let mut timing = Timing::default();
        let result = self.phases(run, &mut timing).await;
        Done { result, timing }
    }

    async fn phases(self, run: Run, timing: &mut Timing) -> Result<Output, Error> {
        let Self {
            runtime, prepared, function, arguments, format, limits, charge, granted, observed, ..
        } = self;
        let sampling = Sampling::new(Whose { task: self.task, version: prepared.version }, self.profiled);
        let mut clock = Clock::start();
        let function = prepared
            .functions
            .get(function)
            .ok_or_else(|| Error::internal(anyhow::anyhow!("function index {function} out of range")))?;
        let Resolved { mut given, request, stream } = arguments::resolve(function, arguments)?;
        let progress = observed.progress.clone();
        let limiter = Limiter::new(limits.memory, charge, RUN_OVERHEAD_BYTES, progress.clone());
        let mut host = Host::new(run.clone(), limiter, limits.output, request, progress, granted.0);
        observed.begin(&run, &mut host);
        let mut store = runtime.store(host, &limits, run, sampling);

        let fail = |error: wasmtime::Error, store: &Store<Host>, phase| {
            let stopped = error.is::<epoch::Stopped>();
            let error = outcome::failed(error, store.data(), &limits, phase);
            if !stopped {
                return error;
            }
            // The pool drops the result of a run it stopped; these words reach the caller.
            observed.stop(error);
            Error::new(Kind::Cancelled, "stopped")
        };
        if let (Some(stream), Some((position, _))) = (stream, &function.body_stream) {
            given.insert(*position, stream, &mut store).map_err(Error::internal)?;
        }
        let returned = match (&prepared.module, &function.call) {
            (Module::Component(linked), Call::Component(export)) => {
                let instance = linked.0.instantiate_async(&mut store).await;
                timing.instantiate = clock.lap();
                let instance = instance.map_err(|error| fail(error, &store, Phase::Instantiate))?;
                let returns = function.result.is_some() || function.error.is_some();
                export.call(&mut store, &instance, given, returns).await
            }
            (Module::Core(linked), Call::Core(export)) => {
                let instance = linked.instantiate(&mut store).await;
                timing.instantiate = clock.lap();
                let instance = instance.map_err(|error| fail(error, &store, Phase::Instantiate))?;
                let values = match &given {
                    super::component::Given::Values(values) => values.as_slice(),
                    super::component::Given::Bytes(_) => &[],
                };
                let value = export.call(&mut store, &instance, values).await;
                value.map(|value| value.map_or(Returned::Nothing, Returned::Value))
            }
            _ => return Err(Error::internal(anyhow::anyhow!("a function of another kind than its module"))),
        };
        timing.run = clock.lap();
        let returned = returned.map_err(|error| fail(error, &store, Phase::Run))?;
        let response = store.data_mut().response.take();
        let result = written(function, returned, response, format, &limits).map_err(|mut error| {
            if error.kind == Kind::TaskError {
                error.stderr = store.data().stderr.tail(5, 1 << 10);
                error.hints = grants::hints(&store.data().refusals());
            }
            error.at(Phase::Encode)
        });
        drop(store);
        timing.encode = clock.lap();
        result
    }
}

impl Runtime {
    /// The store of one run, with its limits and under the pool's control.
    pub(super) fn store(&self, host: Host, limits: &Limits, run: Run, sampling: Sampling) -> Store<Host> {
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limiter);
        let bytes = limits.output.max(limits.input).saturating_add(DYNAMIC_VALUES_BYTES_MAX);
        store.set_hostcall_fuel(usize::try_from(bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(HANDLES_MAX);
        epoch::arm(&mut store, run, sampling);
        store
    }
}

/// A stop watch that gives the time since it was last asked.
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now.duration_since(self.0);
        self.0 = now;
        lap
    }
}

/// Turns what the function returned into the response's bytes.
fn written(
    function: &Function,
    returned: Returned,
    response: Option<Response>,
    format: Format,
    limits: &Limits,
) -> Result<Output, Error> {
    let value = match returned {
        Returned::Failed(message) => {
            return Err(task_error(Some(&Shape::String), Some(Val::String(message)), limits));
        }
        Returned::Text(text) => return text_output(text, format, limits),
        Returned::Bytes(bytes) => return bytes_output(bytes, format, limits),
        Returned::Nothing => None,
        Returned::Value(value) if function.error.is_some() => match value {
            Val::Result(Ok(ok)) => ok.map(|ok| *ok),
            Val::Result(Err(err)) => {
                let shape = function.error.as_ref().and_then(Option::as_ref);
                return Err(task_error(shape, err.map(|err| *err), limits));
            }
            other => Some(other),
        },
        Returned::Value(value) => Some(value),
    };
    if let Some(response) = response {
        return Ok(Output::Raw { content_type: response.content_type, body: response.body.into() });
    }
    match (&function.result, value) {
        (Some(Shape::String), Some(Val::String(text))) => text_output(text, format, limits),
        (Some(Shape::Bytes), Some(value)) if format == Format::Natural => {
            let bytes = bytes_of(&value, limit(limits)).map_err(|error| encoded(error, limits))?;
            bytes_output(bytes, format, limits)
        }
        (Some(shape), Some(value)) if format == Format::Wave => wave_output(shape, &value, limits),
        (Some(shape), Some(value)) => json_output(shape, &value, limits),
        (None, Some(Val::Stream(_))) => {
            Err(Error::internal(anyhow::anyhow!("a function that gives a stream was called for a value")))
        }
        _ => Ok(Output::Empty),
    }
}

fn limit(limits: &Limits) -> usize {
    usize::try_from(limits.output).unwrap_or(usize::MAX)
}

fn text_output(text: String, format: Format, limits: &Limits) -> Result<Output, Error> {
    match format {
        Format::Json => json_output(&Shape::String, &Val::String(text), limits),
        Format::Wave => wave_output(&Shape::String, &Val::String(text), limits),
        Format::Natural if text.len() > limit(limits) => Err(outcome::output_too_large(limits)),
        Format::Natural => Ok(Output::Text(text)),
    }
}

fn bytes_output(bytes: Vec<u8>, format: Format, limits: &Limits) -> Result<Output, Error> {
    match format {
        Format::Json => {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            json_output(&Shape::String, &Val::String(text), limits)
        }
        Format::Wave => {
            let mut out = Vec::new();
            encode_wave_bytes(&bytes, &mut out, limit(limits)).map_err(|error| encoded(error, limits))?;
            Ok(Output::Wave(Bytes::from(out)))
        }
        Format::Natural if bytes.len() > limit(limits) => Err(outcome::output_too_large(limits)),
        Format::Natural => Ok(Output::Binary(bytes.into())),
    }
}

fn json_output(shape: &Shape, value: &Val, limits: &Limits) -> Result<Output, Error> {
    let mut out = Vec::new();
    encode(shape, value, &mut out, limit(limits)).map_err(|error| encoded(error, limits))?;
    Ok(Output::Json(Bytes::from(out)))
}

fn wave_output(shape: &Shape, value: &Val, limits: &Limits) -> Result<Output, Error> {
    let mut out = Vec::new();
    encode_wave(shape, value, &mut out, limit(limits)).map_err(|error| encoded(error, limits))?;
    Ok(Output::Wave(Bytes::from(out)))
}

fn encoded(error: EncodeError, limits: &Limits) -> Error {
    match error {
        EncodeError::TooLarge { .. } => outcome::output_too_large(limits),
        EncodeError::NoForm { .. } => Error::new(Kind::NotAcceptable, error.to_string()),
        EncodeError::Mismatch { .. } => Error::internal(error),
    }
}

/// The error of a guest that returned `err`, with the value as JSON.
pub(super) fn task_error(shape: Option<&Shape>, value: Option<Val>, limits: &Limits) -> Error {
    let mut error = Error::new(Kind::TaskError, "the function returned an error").at(Phase::Run);
    if let (Some(shape), Some(value)) = (shape, value) {
        let mut out = Vec::new();
        if let Err(problem) = encode(shape, &value, &mut out, limit(limits)) {
            return encoded(problem, limits);
        }
        let json = String::from_utf8_lossy(&out).into_owned();
        error.detail = match &value {
            Val::String(message) => message.clone(),
            _ => format!("the function returned the error {json}"),
        };
        error.value = Some(json);
    }
    error
}
