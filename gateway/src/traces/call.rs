//! The span of a call, those of its phases, and those of the requests that its guest makes.
//!
//! The call's span begins when its request has come and is sent when nobody holds the [`Call`] any more:
//! by then the edge has told the answer, and whoever made the call how it ended. Phases become spans after
//! the fact, from the times that were taken anyway. Knows not where spans go.

use super::context;
use crate::task::Timing;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Version};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A request for a task.
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// The version of HTTP it came by.
    pub version: Version,
    /// Whether it came under TLS.
    pub tls: bool,
    /// The route that was taken, with the names of its parameters.
    pub route: &'a str,
    /// The call's id.
    pub id: &'a str,
    /// The version of the task that serves it: `name@digest`.
    pub task: &'a str,
    /// The function, where it is one.
    pub function: Option<&'a str>,
}

/// How a call ended.
pub struct Ended {
    /// When it came.
    pub started: SystemTime,
    /// From there to its end.
    pub total: Duration,
    /// Where the time went.
    pub timing: Timing,
    /// The name of its outcome; `ok` if it went well.
    pub outcome: &'static str,
    /// The most bytes of memories and tables that its run held at once.
    pub memory_bytes: u64,
    /// Bytes of its request.
    pub received_bytes: u64,
    /// Bytes of its result.
    pub sent_bytes: u64,
    /// Slices of its run.
    pub slices: u32,
    /// How often its run gave way.
    pub preemptions: u32,
}

/// A call that is traced, or at least belongs to a trace. Clones are the same call.
#[derive(Clone, Debug)]
pub struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: SdkTracer,
    context: SpanContext,
    /// Whether a span will be sent.
    recorded: bool,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    span: Span,
    status: Option<u16>,
    outcome: Option<&'static str>,
    end: Option<SystemTime>,
}

/// How a call that went well is told.
const OK: &str = "ok";

/// How a call is told whose caller went away.
const CANCELLED: &str = "cancelled";

impl Call {
    pub(super) fn begin(tracer: &SdkTracer, asked: &Asked<'_>) -> Self {
        let parent = context::read(asked.headers);
        let method = method(asked.method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
            KeyValue::new("http.route", asked.route.to_owned()),
            // With the names of parameters in place of their values, which are the caller's own.
            KeyValue::new("url.path", asked.route.to_owned()),
            KeyValue::new("url.scheme", if asked.tls { "https" } else { "http" }),
            KeyValue::new("unblock.call.id", asked.id.to_owned()),
            KeyValue::new("unblock.task.version", asked.task.to_owned()),
        ];
        if let Some(version) = version(asked.version) {
            attributes.push(KeyValue::new("network.protocol.version", version));
        }
        if let Some(function) = asked.function {
            attributes.push(KeyValue::new("unblock.task.function", function.to_owned()));
        }
        let host = asked.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        if let Some(host) = host {
            attributes.push(KeyValue::new("server.address", bare(host.host()).to_owned()));
            let port = host.port_u16().unwrap_or(if asked.tls { 443 } else { 80 });
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        let span = SpanBuilder::from_name(format!("{} {}", method.unwrap_or("HTTP"), asked.route))
            .with_kind(SpanKind::Server)
            .with_start_time(SystemTime::now())
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        let (context, recorded) = (span.span_context().clone(), span.is_recording());
        let open = Mutex::new(Open { span, status: None, outcome: None, end: None });
        Self(Arc::new(Inner { tracer: tracer.clone(), context, recorded, open }))
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.context.trace_id().to_string()
    }

    /// Says in a request's header that it comes from this call.
    pub fn write(&self, headers: &mut HeaderMap) {
        context::write(&self.0.context, headers);
    }

    /// The caller is sent an answer with this status.
    pub fn answered(&self, status: u16) {
        self.with(|open| open.status = Some(status));
    }

    /// The call has failed, as far as nobody said so before.
    pub fn failed(&self, outcome: &'static str) {
        self.with(|open| {
            open.outcome.get_or_insert(outcome);
        });
    }

    /// The call has ended.
    pub fn ended(&self, ended: &Ended) {
        if !self.0.recorded {
            return;
        }
        let Ended { started, timing, .. } = ended;
        let mut begin = *started;
        for (name, time) in [
            ("queue", timing.queue),
            ("instantiate", timing.instantiate),
            ("run", timing.run),
            ("encode", timing.encode),
        ] {
            let end = begin + time;
            // Phases that it did not reach.
            if !time.is_zero() {
                let builder = SpanBuilder::from_name(name).with_start_time(begin);
                builder.start_with_context(&self.0.tracer, &self.inside()).end_with_timestamp(end);
            }
            begin = end;
        }
        let of = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.with(|open| {
            open.outcome = Some(ended.outcome);
            open.end = Some(*started + ended.total);
            open.span.set_attributes([
                KeyValue::new("unblock.cpu_ms", timing.cpu.as_secs_f64() * 1000.0),
                KeyValue::new("unblock.memory_bytes", of(ended.memory_bytes)),
                KeyValue::new("unblock.received_bytes", of(ended.received_bytes)),
                KeyValue::new("unblock.sent_bytes", of(ended.sent_bytes)),
                KeyValue::new("unblock.slices", i64::from(ended.slices)),
                KeyValue::new("unblock.preemptions", i64::from(ended.preemptions)),
            ]);
        });
    }

    /// The guest makes a request; its header gets to say where it comes from.
    ///
    /// As the standard has it for whoever passes a request on (W3C Trace Context, section 3.2): where the guest
    /// says itself which of its spans of this trace asks, that one is the parent; in any case what the upstream
    /// gets to see is the span made here, and this trace.
    #[must_use]
    pub fn request(&self, head: &mut Parts) -> Request {
        let said = context::read(&head.headers);
        let own = said.span().span_context().trace_id() == self.0.context.trace_id();
        if !self.0.recorded {
            if !own {
                self.write(&mut head.headers);
            }
            return Request { span: None, _call: self.clone() };
        }
        let parent = if own { said } else { self.inside() };
        let method = method(&head.method);
        let scheme = head.uri.scheme_str().unwrap_or("http").to_owned();
        let port = head.uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let attributes = vec![
            KeyValue::new("http.request.method", method.unwrap_or("_OTHER")),
            KeyValue::new("url.scheme", scheme),
            // Not the path and the query: what a guest asks for may be its caller's secret.
            KeyValue::new("server.address", bare(head.uri.host().unwrap_or_default()).to_owned()),
            KeyValue::new("server.port", i64::from(port)),
        ];
        let span = SpanBuilder::from_name(method.unwrap_or("HTTP"))
            .with_kind(SpanKind::Client)
            .with_start_time(SystemTime::now())
            .with_attributes(attributes)
            .start_with_context(&self.0.tracer, &parent);
        context::write(span.span_context(), &mut head.headers);
        Request { span: Some((span, false)), _call: self.clone() }
    }

    /// What a child's parent is.
    fn inside(&self) -> Context {
        Context::new().with_remote_span_context(self.0.context.clone())
    }

    fn with(&self, change: impl FnOnce(&mut Open)) {
        if self.0.recorded {
            change(&mut self.0.open.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.recorded {
            return;
        }
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody said how it ended: its request was given up before it became a call.
        let outcome = open.outcome.unwrap_or(if open.status.is_some() { OK } else { CANCELLED });
        let span = &mut open.span;
        span.set_attribute(KeyValue::new("unblock.outcome", outcome));
        if let Some(status) = open.status {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        // What the caller did wrong is no error of the server (semantic conventions for HTTP spans, "status").
        let callers = open.status.is_some_and(|status| (400..500).contains(&status));
        if outcome != OK && outcome != CANCELLED && !callers {
            span.set_attribute(KeyValue::new("error.type", outcome));
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(open.end.unwrap_or_else(SystemTime::now));
    }
}

/// A request of a guest, under way. Dropped at its end.
pub struct Request {
    /// Its span, and whether it was told how it went; none if the call is not sampled.
    span: Option<(Span, bool)>,
    /// Which is not over before its requests are.
    _call: Call,
}

impl Request {
    /// It was answered with this status.
    pub fn answered(&mut self, status: u16) {
        let Some((span, told)) = &mut self.span else { return };
        *told = true;
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 400 {
            error(span, status.to_string());
        }
    }

    /// It failed; the name of an error code of `wasi:http`.
    pub fn failed(&mut self, code: &str) {
        let Some((span, told)) = &mut self.span else { return };
        *told = true;
        error(span, code.to_owned());
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Some((span, told)) = &mut self.span else { return };
        if !*told {
            error(span, CANCELLED);
        }
        span.end();
    }
}

fn error(span: &mut Span, kind: impl Into<Value>) {
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(""));
}

/// A method that the conventions know: names of any other sort would be without number.
fn method(method: &Method) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"]
        .into_iter()
        .find(|known| method.as_str() == *known)
}

/// The version as it is written; `None` if there is no name for it.
fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
