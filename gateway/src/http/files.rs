//! Files of the gateway's own pages, all of them inside the binary.
//!
//! Owns how they are found and sent: under the tag of their content, with the policy of their page. What
//! they say is their page's.

use super::answer::{NO_SNIFF, fixed};
use super::error::Context;
use super::etag;
use super::id::CallId;
use crate::error::{Error, Kind};
use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::sync::LazyLock;

/// A file of a page.
pub struct File {
    /// Below the page's path; empty for the page itself.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub content: &'static [u8],
    /// The tag of these.
    pub tag: LazyLock<HeaderValue>,
}

/// A file by its name, its media type and its path.
macro_rules! file {
    ($name:literal, $content_type:literal, $path:expr) => {
        $crate::http::files::File {
            name: $name,
            content_type: $content_type,
            content: include_bytes!($path),
            tag: std::sync::LazyLock::new(|| $crate::http::etag::of(include_bytes!($path))),
        }
    };
}
pub(super) use file;

impl File {
    /// The file as a response to a request with these headers.
    pub fn answer(&self, headers: &HeaderMap, policy: &HeaderValue) -> Response<Body> {
        let whole = || fixed(StatusCode::OK, self.content_type, self.content);
        let mut response = etag::answer(headers, &self.tag, whole);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// The answer to a request for a file of that name, or that there is none; `page` is where they belong.
pub fn answer(
    files: &[File],
    name: &str,
    page: &str,
    policy: &HeaderValue,
    headers: &HeaderMap,
    call: &CallId,
) -> Response<Body> {
    match files.iter().find(|file| file.name == name) {
        Some(file) => file.answer(headers, policy),
        None => {
            let detail = format!("found {name:?}, which is no file of the page; GET {page} shows it");
            Context::of(call).respond(&Error::new(Kind::UnknownPath, detail))
        }
    }
}
