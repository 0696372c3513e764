//! Where guests spend their time: the profile of one call instead of its result, and that of each task.
//!
//! A call with the header `Unblock-Profile` is made as ever, and its answer is its profile; how the call ended
//! stands in headers. `GET /tasks/{task}/-/profile` shows what was sampled of the task's calls in the last
//! minutes. How samples are taken and kept is not known here.

use super::access::permit;
use super::answer::{document, write};
use super::error::Context;
use super::{Gateway, query};
use crate::access::Need;
use crate::error::{Error, Kind};
use crate::invoke as calls;
use crate::observe::profile::CallProfile;
use crate::observe::stacks::{Share, Stacks};
use crate::observe::{Outcome, flame};
use crate::registry::Task;
use crate::runtime::{Profiled, Sink};
use crate::task::{Output, Timing};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use axum::http::{Extensions, HeaderMap, HeaderName, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Asks for the profile of a call.
pub const UNBLOCK_PROFILE: HeaderName = HeaderName::from_static("unblock-profile");

/// How a call ended whose profile is the answer: `ok`, or the name of its problem.
const UNBLOCK_OUTCOME: HeaderName = HeaderName::from_static("unblock-outcome");

/// The type of its problem, as a problem document has it.
const UNBLOCK_PROBLEM: HeaderName = HeaderName::from_static("unblock-problem");

/// Calls that are profiled at once: each keeps some megabytes of samples, and takes a part of its worker's time.
pub const PROFILED_MAX: usize = 4;

/// When to try again while so many are.
const RETRY: Duration = Duration::from_secs(1);

/// Functions that the profile of a task lists.
const FUNCTIONS_MAX: usize = 50;

/// Characters of an unknown form that a problem repeats.
const QUOTE_CHARS_MAX: usize = 100;

const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

/// A flame graph runs the script it brings along, as if it came from nowhere: it reaches nothing of this
/// server.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts",
);

/// How a profile is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Firefox,
    FlameGraph,
}

/// The form that the header asks for.
fn asked(headers: &HeaderMap) -> Result<Option<Form>, Error> {
    let mut values = headers.get_all(UNBLOCK_PROFILE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let form = match value.as_bytes() {
        _ if values.next().is_some() => None,
        b"firefox" => Some(Form::Firefox),
        b"flamegraph" => Some(Form::FlameGraph),
        _ => None,
    };
    form.map(Some).ok_or_else(|| {
        let found: String = String::from_utf8_lossy(value.as_bytes()).chars().take(QUOTE_CHARS_MAX).collect();
        Error::new(
            Kind::BadArguments,
            format!("found the header Unblock-Profile: {found}, expected firefox or flamegraph, once"),
        )
    })
}

/// A call that is being profiled.
pub struct Profiling {
    form: Form,
    profile: Arc<CallProfile>,
    done: oneshot::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

/// Places for as many calls as may be profiled at once.
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PROFILED_MAX))
}

impl Profiling {
    /// What the request asks for, if it asks for a profile; beside it, what its run is to be given.
    ///
    /// # Errors
    /// `bad-arguments`; `unauthorized`, `forbidden`; `queue-full` while others are profiled.
    pub fn of(
        gateway: &Gateway,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Option<(Self, Profiled)>, Error> {
        let Some(form) = asked(headers)? else { return Ok(None) };
        // Without tokens whoever may call may look at it, too.
        if gateway.tokens.is_some() {
            permit(gateway, extensions, Need::Manage)?;
        }
        let place = Arc::clone(&gateway.profiled).try_acquire_owned().map_err(|_| {
            let mut error = Error::new(
                Kind::QueueFull,
                format!(
                    "{PROFILED_MAX} calls are being profiled, which is as many as may be; try again later"
                ),
            )
            .limit("profiled", PROFILED_MAX.to_string());
            error.retry_after = Some(RETRY);
            error
        })?;
        let profile = Arc::new(CallProfile::default());
        let (told, done) = oneshot::channel();
        let sink: Arc<dyn Sink> = Arc::clone(&profile) as _;
        let profiled = Profiled { sink, done: told };
        Ok(Some((Self { form, profile, done, _place: place }, profiled)))
    }

    /// The answer to a call of a function, if that got as far as its guest; else the problem it ended with.
    ///
    /// # Errors
    /// That problem; the profile cannot be written.
    pub fn told<T>(
        self,
        gateway: &Gateway,
        context: &Context<'_>,
        result: Result<T, Error>,
        timing: &Timing,
    ) -> Result<Response<Body>, Error> {
        match result {
            Ok(_) => self.answer(gateway, context, None, Some(timing)),
            Err(error) if timing.instantiate.is_zero() && timing.run.is_zero() => Err(error),
            Err(error) => {
                context.log(&error);
                self.answer(gateway, context, Some(&error), Some(timing))
            }
        }
    }

    /// The same for a guest that streams its answer: read to its end, and to that of the run.
    ///
    /// # Errors
    /// As [`Profiling::told`].
    pub async fn flowed(
        mut self,
        gateway: &Gateway,
        context: &Context<'_>,
        result: Result<http::Response<calls::Body>, Error>,
        timing: &Timing,
    ) -> Result<Response<Body>, Error> {
        let mut body = match result {
            Ok(response) => response.into_body(),
            Err(error) => return self.told::<()>(gateway, context, Err(error), timing),
        };
        let mut error = None;
        while let Some(frame) = body.frame().await {
            error = frame.err();
        }
        drop(body);
        // The guest may go on after its last byte. What went wrong since the head is logged already.
        let _ = (&mut self.done).await;
        self.answer(gateway, context, error.as_ref(), None)
    }

    fn answer(
        self,
        gateway: &Gateway,
        context: &Context<'_>,
        error: Option<&Error>,
        timing: Option<&Timing>,
    ) -> Result<Response<Body>, Error> {
        let outcome = error.map_or(Outcome::Ok, |error| Outcome::Failed(error.kind)).as_str();
        let title = match (context.task.unwrap_or_default(), context.function) {
            (task, Some(function)) => format!("{task}/{function}"),
            (task, None) => task.to_owned(),
        };
        let mut response = match self.form {
            Form::Firefox => shown(gateway, JSON, self.profile.firefox(&title))?,
            Form::FlameGraph => {
                let cpu = timing.map_or_else(String::new, |timing| format!(", {:?} of CPU time", timing.cpu));
                let about = format!("{outcome}{cpu}, {} samples", self.profile.samples());
                shown(gateway, SVG, self.profile.flame(&title, &about))?
            }
        };
        let headers = response.headers_mut();
        headers.insert(UNBLOCK_OUTCOME, HeaderValue::from_static(outcome));
        if error.is_some()
            && let Ok(problem) = HeaderValue::from_str(&format!("/problems/{outcome}"))
        {
            headers.insert(UNBLOCK_PROBLEM, problem);
        }
        Ok(response)
    }
}

/// A profile that was written.
fn shown(
    gateway: &Gateway,
    content_type: &str,
    written: std::io::Result<Vec<u8>>,
) -> Result<Response<Body>, Error> {
    let body = Bytes::from(written.map_err(Error::internal)?);
    let output = Output::Raw { content_type: Some(content_type.to_owned()), body };
    let mut response = write(output, gateway.invoker.memory())?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

/// `GET /tasks/{task}/-/profile`: what was sampled of the task's calls in the last minutes.
pub fn of_task(gateway: &Gateway, task: &Task, request: &Request) -> Result<Response<Body>, Error> {
    let graph = graph_wanted(request.uri().query())?;
    let (stacks, window) = gateway.invoker.observer().samples().of(task.figures.number());
    if !graph {
        return Ok(document(&told(gateway, task, &stacks, window)));
    }
    let about = format!(
        "the last {}: {} samples of all calls",
        crate::limits::duration(Duration::from_secs(window.as_secs().max(1))),
        stacks.samples()
    );
    shown(gateway, SVG, flame::svg(&stacks, task.name.as_str(), &about))
}

/// Whether `?format=` asks for a flame graph.
fn graph_wanted(query: Option<&str>) -> Result<bool, Error> {
    let mut pairs = Vec::new();
    query::pairs(query, &mut pairs)?;
    match pairs.as_slice() {
        [] => Ok(false),
        [(name, value)] if name == "format" && value == "json" => Ok(false),
        [(name, value)] if name == "format" && value == "flamegraph" => Ok(true),
        [(name, value), ..] => {
            let found: String = format!("{name}={value}").chars().take(QUOTE_CHARS_MAX).collect();
            Err(Error::new(
                Kind::BadArguments,
                format!("found {found:?} in the query, expected format=json or format=flamegraph, once"),
            ))
        }
    }
}

fn told(gateway: &Gateway, task: &Task, stacks: &Stacks, window: Duration) -> Value {
    let all = stacks.micros().max(1) as f64;
    let percent = |micros: u64| (micros as f64 * 10_000.0 / all).round() / 100.0;
    let ms = |micros: u64| micros as f64 / 1_000.0;
    let function = |share: &Share| {
        json!({
            "name": &*share.name,
            "self_percent": percent(share.own),
            "total_percent": percent(share.total),
            "self_ms": ms(share.own),
            "total_ms": ms(share.total),
        })
    };
    let functions = stacks.functions();
    json!({
        "task": task.name.as_str(),
        "window_seconds": window.as_secs(),
        "samples": stacks.samples(),
        "samples_per_second_max": gateway.invoker.observer().settings().samples_per_second,
        "cpu_ms": ms(stacks.micros()),
        "functions": functions.iter().take(FUNCTIONS_MAX).map(function).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_two_forms_can_be_asked_for() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(UNBLOCK_PROFILE, HeaderValue::from_static(value));
            }
            asked(&headers)
        };
        assert_eq!(of(&[]).expect("nothing"), None);
        assert_eq!(of(&["firefox"]).expect("a form"), Some(Form::Firefox));
        assert_eq!(of(&["flamegraph"]).expect("a form"), Some(Form::FlameGraph));
        for wrong in
            [&["Firefox"][..], &[""], &["pprof"], &["firefox", "flamegraph"], &["firefox", "firefox"]]
        {
            let error = of(wrong).expect_err("no form");
            assert!(
                error.kind == Kind::BadArguments && error.detail.contains("firefox or flamegraph"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn the_query_names_a_format_or_nothing() {
        for (query, graph) in [(None, false), (Some("format=json"), false), (Some("format=flamegraph"), true)]
        {
            assert_eq!(graph_wanted(query).expect("a format"), graph);
        }
        for wrong in ["format=svg", "a=b", "format=json&format=json", "format"] {
            assert_eq!(graph_wanted(Some(wrong)).expect_err(wrong).kind, Kind::BadArguments);
        }
    }
}
