//! How a client learns of a failure after the head: by a trailer, if it reads those.
//!
//! HTTP/1.1 has two ways to end a body, and one excludes the other: broken off, or whole with trailers.
//! A client that says `TE: trailers` (RFC 9110, 10.1.4) gets the second with the field
//! `Unblock-Problem`; for any other a body that failed never looks whole. Knows not what failed.

use super::id::CallId;
use crate::error::Error;
use axum::body::Body;
use axum::http::header::{TE, TRAILER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The problem's name with its detail, as an item of RFC 9651: `task-error; detail="…"; call="…"`.
const UNBLOCK_PROBLEM: HeaderName = HeaderName::from_static("unblock-problem");

/// Characters of a detail that fit into a trailer.
const DETAIL_CHARS_MAX: usize = 500;

/// Whether the client reads trailers. To be asked before fields of the connection are taken off.
pub fn accepted(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// The response with a body that tells its failure in a trailer.
pub fn told<B>(mut response: Response<B>, call: &CallId) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
{
    // Beside the guest's own announcement: a server sends only trailers that were announced.
    response.headers_mut().append(TRAILER, HeaderValue::from_name(UNBLOCK_PROBLEM));
    let call = call.clone();
    response.map(|body| Body::new(Told { body, call, failed: false }))
}

struct Told<B> {
    body: B,
    call: CallId,
    failed: bool,
}

impl<B> http_body::Body for Told<B>
where
    B: http_body::Body<Data = Bytes, Error = Error> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Err(error)) => {
                self.failed = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailer(&error, &self.call)))))
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn trailer(error: &Error, call: &CallId) -> HeaderMap {
    let (detail, call) = (quoted(&error.detail), quoted(call.as_str()));
    let text = format!("{}; detail={detail}; call={call}", error.kind.slug());
    HeaderValue::try_from(text)
        .map(|value| HeaderMap::from_iter([(UNBLOCK_PROBLEM, value)]))
        .unwrap_or_default()
}

/// A string of RFC 9651, 3.3.3, which holds printable ASCII alone.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars().take(DETAIL_CHARS_MAX) {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_string_of_the_field() {
        assert_eq!(quoted("a \"b\" \\ \u{fc}\n"), r#""a \"b\" \\ ??""#);
    }

    #[test]
    fn only_a_client_that_says_so_reads_trailers() {
        for (value, expected) in
            [("trailers", true), ("gzip;q=0.5, Trailers", true), ("", false), ("trailers-not", false)]
        {
            let headers = HeaderMap::from_iter([(TE, HeaderValue::from_static(value))]);
            assert_eq!(accepted(&headers), expected, "{value}");
        }
        assert!(!accepted(&HeaderMap::new()));
    }
}
