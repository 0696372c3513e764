//! An [`Error`] as a response: the status of each kind, and the problem document (RFC 9457).
//!
//! The only file that gives errors status codes, by matches without a wildcard, so a new kind does
//! not compile until it has one. It also writes the log line of a request that failed before it became a
//! call, at a level that says who has to act. How a call fails is not known here.

use super::id::CallId;
use crate::error::{Blame, Error, Kind};
use crate::task::Phase;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use std::fmt::Arguments;

/// The media type of every error.
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds until a retry where the layer that refused gave no better hint.
const RETRY_SECONDS_DEFAULT: u64 = 1;

/// Room for a document that repeats nothing long: a refusal under load is written without growing it.
const DOCUMENT_BYTES: usize = 512;

/// A problem document, without the value that a task returned as its error.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: Arguments<'a>,
    title: &'a str,
    status: u16,
    detail: &'a str,
    blame: &'a str,
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    nearest: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    backtrace: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hints: &'a [String],
}

/// The limit that was hit.
#[derive(Serialize)]
struct Limit<'a> {
    name: &'a str,
    value: &'a str,
}

/// What a failed request was about, as far as it was known.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The request's id.
    pub call: &'a CallId,
    /// The task's name.
    pub task: Option<&'a str>,
    /// The function's name.
    pub function: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// A request that concerns no task.
    pub fn of(call: &'a CallId) -> Self {
        Self { call, task: None, function: None }
    }

    /// The response to a failure, after its log line is written.
    pub fn respond(&self, error: &Error) -> Response<Body> {
        self.log(error);
        let mut response = Response::new(Body::from(self.document(error)));
        *response.status_mut() = status(error.kind);
        // For whoever counts them (`server.rs`).
        response.extensions_mut().insert(error.kind);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM);
        if let Some(seconds) = retry_seconds(error) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = error.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        if let Some(challenge) = error.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok())
        {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn document(&self, error: &Error) -> Vec<u8> {
        let kind = error.kind;
        let problem = Problem {
            r#type: format_args!("/problems/{}", kind.slug()),
            title: kind.title(),
            status: status(kind).as_u16(),
            detail: &error.detail,
            blame: blame(kind.blame()),
            call: self.call.as_str(),
            task: self.task,
            function: self.function,
            phase: error.phase.map(Phase::as_str),
            limit: error.limit.as_ref().map(|(name, value)| Limit { name, value }),
            pointer: error.pointer.as_deref(),
            expected: error.expected.as_deref(),
            nearest: &error.nearest,
            backtrace: &error.backtrace,
            stderr: error.stderr.as_deref(),
            hints: &error.hints,
        };
        let mut document = Vec::with_capacity(DOCUMENT_BYTES);
        // Text and numbers can always be written.
        let _ = serde_json::to_writer(&mut document, &problem);
        splice(&mut document, "value", error.value.as_deref());
        document
    }

    /// One line per failure, unless the call's own line tells of it. The detail may repeat what a caller or a guest sent, which is never
    /// logged, so only those about the gateway itself are.
    pub fn log(&self, error: &Error) {
        if error.told {
            return;
        }
        let (title, problem) = (error.kind.title(), error.kind.slug());
        let call = self.call.as_str();
        let (task, function) = (self.task, self.function);
        let phase = error.phase.map(|phase| phase.as_str());
        let limit = error.limit.as_ref().map(|(name, _)| *name);
        let detail = (error.kind.blame() == Blame::Gateway).then_some(error.detail.as_str());
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    call.id = call,
                    task.name = task,
                    task.function = function,
                    problem,
                    phase,
                    limit,
                    detail,
                    cause = error.cause.as_ref().map(|cause| format!("{cause:#}")),
                    "call {call} failed with {problem}: {title}"
                )
            };
        }
        match error.kind.blame() {
            // Callers decide how many of these there are: they are written on request only.
            Blame::Caller => line!(debug),
            Blame::Gateway if error.kind.retry() => line!(debug),
            Blame::Task => line!(warn),
            Blame::Gateway => line!(error),
        }
    }
}

/// Adds a member whose value is JSON already, to a document that ends in `}`. The guest's error
/// value keeps its exact digits and order this way.
fn splice(document: &mut Vec<u8>, name: &str, value: Option<&str>) {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return };
    if document.pop() == Some(b'}') {
        document.extend_from_slice(b",\"");
        document.extend_from_slice(name.as_bytes());
        document.extend_from_slice(b"\":");
        document.extend_from_slice(value.as_bytes());
        document.push(b'}');
    }
}

/// The word for who has to act.
pub fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Caller => "caller",
        Blame::Task => "task",
        Blame::Gateway => "gateway",
    }
}

fn retry_seconds(error: &Error) -> Option<u64> {
    match (error.retry_after, error.kind) {
        (Some(after), _) => Some(after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)),
        (None, Kind::QueueFull | Kind::MemoryFull | Kind::Loading | Kind::Draining | Kind::RateLimited) => {
            Some(RETRY_SECONDS_DEFAULT)
        }
        (None, _) => None,
    }
}

/// The status of a kind.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadArguments | Kind::BadJson | Kind::AmbiguousFunction => StatusCode::BAD_REQUEST,
        Kind::UnknownTask | Kind::UnknownFunction | Kind::UnknownPath | Kind::UnknownCall => {
            StatusCode::NOT_FOUND
        }
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Kind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::InputTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::RefusedModule | Kind::TaskError => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Trap
        | Kind::MemoryExceeded
        | Kind::StackOverflow
        | Kind::OutputTooLarge
        | Kind::MissingGrant => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::BadResponse => StatusCode::BAD_GATEWAY,
        Kind::BadModule | Kind::QueueFull | Kind::MemoryFull | Kind::Loading | Kind::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Kind::DeadlineExceeded | Kind::CpuExceeded => StatusCode::GATEWAY_TIMEOUT,
        // Seen only when somebody other than the caller ended the call.
        Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};
    use std::time::Duration;

    async fn seen(error: &Error) -> (Response<()>, Value) {
        let call = CallId("c-1".into());
        let context = Context { task: Some("sleep"), function: Some("run"), ..Context::of(&call) };
        let (parts, body) = context.respond(error).into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).expect("JSON"))
    }

    #[tokio::test]
    async fn every_kind_is_a_problem_with_a_failing_status() {
        for kind in Kind::ALL {
            let (response, document) = seen(&Error::new(kind, "why")).await;
            assert!(response.status().is_client_error() || response.status().is_server_error(), "{kind:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(document["type"], format!("/problems/{}", kind.slug()));
            assert_eq!(document["status"], response.status().as_u16());
            assert_eq!(document["call"], "c-1");
            // An error that a task returns is its answer, and nobody is left to blame for a cancelled call.
            if !matches!(kind, Kind::TaskError | Kind::Cancelled) {
                assert_eq!(response.status().is_client_error(), kind.blame() == Blame::Caller, "{kind:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_applies_becomes_a_member() {
        let mut error =
            Error::new(Kind::BadArguments, "d").at(Phase::Instantiate).limit("input", "4B".into());
        error.pointer = Some("/seconds".into());
        error.expected = Some("f64".into());
        error.nearest = vec!["sleep".into()];
        error.backtrace = vec!["main".into()];
        error.stderr = Some("oh\n".into());
        error.value = Some(r#"{"b":18446744073709551616,"a":[]}"#.into());
        let (_, document) = seen(&error).await;
        let rest = json!({
            "type": "/problems/bad-arguments", "title": "The arguments do not fit the function", "status": 400,
            "detail": "d", "blame": "caller", "call": "c-1", "task": "sleep", "function": "run",
            "phase": "instantiate", "limit": {"name": "input", "value": "4B"}, "pointer": "/seconds",
            "expected": "f64", "nearest": ["sleep"], "backtrace": ["main"], "stderr": "oh\n",
            "value": {"b": 18_446_744_073_709_551_616_f64, "a": []}
        });
        assert_eq!(document, rest);
    }

    #[tokio::test]
    async fn a_retry_hint_is_whole_seconds_and_never_zero() {
        let mut error = Error::new(Kind::QueueFull, "full");
        for (after, header) in
            [(None, "1"), (Some(0), "1"), (Some(1), "1"), (Some(1000), "1"), (Some(1001), "2")]
        {
            error.retry_after = after.map(Duration::from_millis);
            assert_eq!(seen(&error).await.0.headers()[RETRY_AFTER], header);
        }
        assert!(!seen(&Error::new(Kind::Trap, "x")).await.0.headers().contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn a_fault_of_ours_tells_the_caller_nothing() {
        let error = Error::internal(anyhow::anyhow!("secret path"));
        let (_, document) = seen(&error).await;
        assert!(!document.to_string().contains("secret"), "{document}");
    }
}
