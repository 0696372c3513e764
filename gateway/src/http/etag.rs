//! Conditional requests (RFC 9110, section 13): a document that the client has already is not sent.
//!
//! Owns entity tags and their comparison. It must not know what a document is about.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};

/// Bytes of the digest in a tag: enough that two documents never share one by chance.
const TAG_BYTES: usize = 8;

/// Kept by the client, but asked for every time.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// The tag of a document. Weak, since compression may change the bytes that are sent.
pub fn of(document: &[u8]) -> HeaderValue {
    let digest: String =
        Sha256::digest(document).iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("W/\"{digest}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// The document, or 304 if the client has the one with this tag.
pub fn answer(
    headers: &HeaderMap,
    tag: &HeaderValue,
    document: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let mut response = if has(headers, tag) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        document()
    };
    response.headers_mut().insert(ETAG, tag.clone());
    response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    response
}

/// Whether `If-None-Match` names the tag, by the weak comparison.
fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_document_is_not_sent_again() {
        let tag = of(b"document");
        let text = tag.to_str().expect("ASCII").to_owned();
        let strong = text.trim_start_matches("W/").to_owned();
        let status = |known: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(known) = known {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_str(known).expect("a header value"));
            }
            let response = answer(&headers, &tag, || Response::new(Body::from("document")));
            assert_eq!(response.headers()[ETAG], tag);
            response.status().as_u16()
        };
        for known in [text.as_str(), strong.as_str(), "*", &format!("\"a\", {text}")] {
            assert_eq!(status(Some(known)), 304, "{known}");
        }
        for unknown in [None, Some(""), Some("\"a\""), Some("W/\"\"")] {
            assert_eq!(status(unknown), 200, "{unknown:?}");
        }
        assert_ne!(of(b"another"), tag);
    }
}
