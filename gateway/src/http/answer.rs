//! An [`Output`] as a response: its media type and its body.
//!
//! A guest that writes its own answer chooses the media type, so that one is checked before it
//! becomes a header. How the bytes were made is not known here.

use crate::error::{Error, Kind};
use crate::runtime::{Charge, Memory, memory_full};
use crate::task::Output;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use std::sync::Arc;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const WAVE: HeaderValue = HeaderValue::from_static("text/x-wave; charset=utf-8");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A browser must not guess what a task's bytes are.
pub const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Bytes of a result that are not charged: about what the socket takes at once.
const UNCHARGED_BYTES_MAX: usize = 64 << 10;

/// A result that is charged for until its last byte is sent: a slow reader holds it long after its call, and
/// the server lets the body go as soon as it has its bytes.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn body(bytes: Bytes, memory: &Arc<Memory>) -> Result<Body, Error> {
    if bytes.len() <= UNCHARGED_BYTES_MAX {
        return Ok(Body::from(bytes));
    }
    let charge = memory.charge(bytes.len() as u64).ok_or_else(|| memory_full(memory))?;
    Ok(Body::from(Bytes::from_owner(Held { bytes, _charge: charge })))
}

/// The response to a call that went well.
///
/// # Errors
/// `bad-response` if the guest stated something that is no media type; `memory-full`.
pub fn write(output: Output, memory: &Arc<Memory>) -> Result<Response<Body>, Error> {
    let (content_type, bytes) = match output {
        Output::Empty => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        Output::Text(text) => (TEXT, Bytes::from(text)),
        Output::Binary(bytes) => (BINARY, bytes),
        Output::Json(bytes) => (JSON, bytes),
        Output::Wave(bytes) => (WAVE, bytes),
        Output::Raw { content_type, body } => (stated(content_type)?, body),
    };
    let mut response = Response::new(body(bytes, memory)?);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    // A browser must not guess that a task's bytes are a page or a script.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    Ok(response)
}

fn stated(content_type: Option<String>) -> Result<HeaderValue, Error> {
    let Some(text) = content_type else { return Ok(BINARY) };
    let valid = text.parse::<mime::Mime>().is_ok();
    HeaderValue::from_str(&text).ok().filter(|_| valid).ok_or_else(|| {
        Error::new(
            Kind::BadResponse,
            format!("the task stated the content type {text:?}, expected a media type such as \"image/png\""),
        )
    })
}

/// A fixed answer of the gateway's own.
pub fn fixed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON document of the gateway's own, indented: people read it in terminals.
pub fn document(value: &serde_json::Value) -> Response<Body> {
    fixed(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_has_its_type() {
        let raw = |content_type: Option<&str>| Output::Raw {
            content_type: content_type.map(str::to_owned),
            body: Bytes::from_static(b"x"),
        };
        for (output, expected) in [
            (Output::Text("x".into()), Some("text/plain; charset=utf-8")),
            (Output::Binary(Bytes::new()), Some("application/octet-stream")),
            (Output::Json(Bytes::from_static(b"1")), Some("application/json")),
            (Output::Wave(Bytes::from_static(b"1")), Some("text/x-wave; charset=utf-8")),
            (raw(None), Some("application/octet-stream")),
            (raw(Some("Image/PNG; a=\"b c\"")), Some("Image/PNG; a=\"b c\"")),
            (Output::Empty, None),
        ] {
            let response = write(output, &Memory::new(0)).expect("valid");
            assert_eq!(response.headers().get(CONTENT_TYPE).map(|v| v.to_str().expect("ASCII")), expected);
        }
        let large = Output::Text("x".repeat(UNCHARGED_BYTES_MAX + 1));
        assert_eq!(write(large.clone(), &Memory::new(9)).expect_err("too much").kind, Kind::MemoryFull);
        let memory = Memory::new(1 << 20);
        let response = write(large, &memory).expect("fits");
        assert_eq!(memory.held_bytes(), UNCHARGED_BYTES_MAX as u64 + 1);
        drop(response);
        assert_eq!(memory.held_bytes(), 0);
        for bad in ["", "png", "image/png\r\nSet-Cookie: a", "image/png\0", "a b/c"] {
            assert_eq!(write(raw(Some(bad)), &Memory::new(0)).expect_err(bad).kind, Kind::BadResponse);
        }
    }
}
