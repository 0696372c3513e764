//! Compression of answers, for those that are worth it and clients that accept it.
//!
//! The layer is entered only for a body over a size, of a type that shrinks, so a small answer
//! pays one comparison. The fastest level: an HTTP thread does the work, and other requests wait
//! for it. It must not know what an answer is about.

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, Request, Response};
use http_body::Body as _;
use std::convert::Infallible;
use tower::{ServiceExt as _, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;

/// Below a packet or so nothing is won.
const BODY_BYTES_MIN: u64 = 1024;

/// Above it the work would hold an HTTP thread too long: some 10 ms per MiB at the fastest level.
const BODY_BYTES_MAX: u64 = 8 << 20;

/// A mark on a response that is not to be compressed, whatever it is.
#[derive(Clone, Copy)]
pub struct AsItIs;

/// The response, compressed if the client's `Accept-Encoding` and the body allow it.
pub async fn apply(accepted: Option<HeaderValue>, mut response: Response<Body>) -> Response<Body> {
    if !worthwhile(&response) {
        return response;
    }
    let Some(accepted) = accepted else {
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        return response;
    };
    let mut request = Request::new(());
    request.headers_mut().insert(ACCEPT_ENCODING, accepted);
    let mut response = Some(response);
    let inner = service_fn(move |_| {
        let response = response.take().unwrap_or_default();
        async { Ok::<_, Infallible>(response) }
    });
    match Compression::new(inner).quality(CompressionLevel::Fastest).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

fn worthwhile(response: &Response<Body>) -> bool {
    let sized = response.body().size_hint().exact();
    sized.is_some_and(|bytes| (BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&bytes))
        && response.extensions().get::<AsItIs>().is_none()
        && !response.headers().contains_key(CONTENT_ENCODING)
        && response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(shrinks)
}

/// Whether documents of a media type usually shrink.
fn shrinks(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name.starts_with("text/")
        || name.ends_with("+json")
        || name.ends_with("+xml")
        || matches!(
            name.as_str(),
            "application/json"
                | "application/xml"
                | "application/javascript"
                | "application/openmetrics-text"
                | "application/wasm"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    async fn encoding(
        accepted: Option<&'static str>,
        content_type: &'static str,
        bytes: usize,
    ) -> Option<String> {
        let response = super::super::answer::fixed(StatusCode::OK, content_type, "x".repeat(bytes));
        let response = apply(accepted.map(HeaderValue::from_static), response).await;
        response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[tokio::test]
    async fn only_what_is_worth_it_is_compressed() {
        assert_eq!(encoding(Some("gzip"), "application/json", 1024).await.as_deref(), Some("gzip"));
        assert_eq!(
            encoding(Some("gzip;q=0.5, br"), "text/plain; charset=utf-8", 9999).await.as_deref(),
            Some("br")
        );
        assert_eq!(encoding(Some("gzip"), "application/problem+json", 2000).await.as_deref(), Some("gzip"));
        assert_eq!(encoding(Some("gzip"), "text/plain", 1023).await, None);
        assert_eq!(encoding(Some("gzip"), "image/png", 9999).await, None);
        assert_eq!(encoding(Some("zstd"), "text/plain", 9999).await, None);
        assert_eq!(encoding(Some("gzip;q=0"), "text/plain", 9999).await, None);
        assert_eq!(encoding(None, "text/plain", 9999).await, None);
    }
}
