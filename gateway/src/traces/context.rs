//! The header fields that carry a trace on, in and out: W3C Trace Context.
//!
//! Read and written by OpenTelemetry's own propagator; here is what lies between it and a header: that a
//! field may come several times, how long it may be, and that what is empty is left out. Knows no spans.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Which trace a request belongs to, and which span made it.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What tracing systems add for themselves.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of `tracestate` that are passed on: as many as the standard asks of everybody (section 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;

/// What the sender says of its trace; a context without a span if it says nothing, or nothing valid.
pub(super) fn read(headers: &HeaderMap) -> Context {
    if !headers.contains_key(TRACEPARENT) {
        return Context::new();
    }
    let (mut parents, mut states) = (headers.get_all(TRACEPARENT).iter(), Vec::new());
    let parent = parents.next().and_then(|value| value.to_str().ok()).map(str::trim).map(str::to_owned);
    // Several would be several callers; none of them is believed.
    let parent = parent.filter(|text| parents.next().is_none() && well_formed(text));
    for value in headers.get_all(TRACESTATE) {
        states.extend(value.to_str().ok().map(str::trim).filter(|text| !text.is_empty()));
    }
    let state = states.join(",");
    let fields = Fields { parent, state: Some(state).filter(|state| state.len() <= STATE_BYTES_MAX) };
    TraceContextPropagator::new().extract_with_context(&Context::new(), &fields)
}

/// Whether a value has the shape of the standard's version 0, or begins with it and is of a later version
/// (section 4.3). The propagator takes digits where ids are too short.
fn well_formed(value: &str) -> bool {
    let lengths = [2, 32, 16, 2];
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut parts = value.split('-');
    lengths.iter().all(|length| parts.next().is_some_and(|part| part.len() == *length && hex(part)))
}

/// Says which span a request comes from, in place of what was said of it before.
pub(super) fn write(span: &SpanContext, headers: &mut HeaderMap) {
    if !span.is_valid() {
        return;
    }
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Into(headers));
}

struct Fields {
    parent: Option<String>,
    state: Option<String>,
}

impl Extractor for Fields {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.parent.as_deref(),
            "tracestate" => self.state.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

struct Into<'a>(&'a mut HeaderMap);

impl Injector for Into<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn said(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn parent(fields: &[(&'static str, &str)]) -> Option<SpanContext> {
        let context = read(&said(fields));
        let span = context.span().span_context().clone();
        span.is_valid().then_some(span)
    }

    #[test]
    fn what_a_caller_says_is_carried_on() {
        let span =
            parent(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2, c=3")]).unwrap();
        assert_eq!(span.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.span_id().to_string(), "b7ad6b7169203331");
        assert!(span.is_sampled() && span.is_remote());
        let mut headers = said(&[("traceparent", "old"), ("tracestate", "old=1"), ("accept", "*/*")]);
        write(&span, &mut headers);
        assert_eq!(headers["traceparent"], PARENT);
        let state: Vec<&str> = headers["tracestate"].to_str().unwrap().split(',').map(str::trim).collect();
        assert_eq!(state, ["a=1", "b=2", "c=3"]);
        let bare = parent(&[("traceparent", PARENT)]).unwrap();
        write(&bare, &mut headers);
        assert!(!headers.contains_key("tracestate"), "nothing is said in its place");
    }

    #[test]
    fn what_is_no_trace_context_begins_a_new_trace() {
        for bad in [
            "",
            "x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(parent(&[("traceparent", bad)]), None, "{bad:?}");
        }
        assert_eq!(parent(&[("traceparent", PARENT), ("traceparent", PARENT)]), None, "two callers");
        assert_eq!(parent(&[("tracestate", "a=1")]), None);
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes";
        assert!(parent(&[("traceparent", later)]).is_some(), "a later version of the standard");
        let long = format!("a={}", "x".repeat(STATE_BYTES_MAX));
        let span = parent(&[("traceparent", PARENT), ("tracestate", &long)]).unwrap();
        assert_eq!(span.trace_state().header(), "", "too much to be carried on");
    }
}
