//! `GET /docs`: the OpenAPI document in a viewer, for people to read and to make calls.
//!
//! Owns the page and its files, all of them inside the binary: the viewer is Swagger UI, unpacked by
//! `build.rs`, and no other server is ever asked for anything. It must not know what the document
//! says.

use super::files::{self, File, file};
use super::id::CallId;
use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response};

/// The page itself comes first.
static FILES: [File; 4] = [
    file!("", "text/html; charset=utf-8", "viewer/index.html"),
    file!("start.js", "text/javascript; charset=utf-8", "viewer/start.js"),
    file!(
        "swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js")
    ),
    file!("swagger-ui.css", "text/css; charset=utf-8", concat!(env!("OUT_DIR"), "/swagger-ui.css")),
];

/// Nothing but this server's own scripts and calls: a task's description or answer that reaches the
/// page cannot run anything, nor send anything elsewhere. The viewer writes style attributes, and
/// shows a picture that a call returned from a blob.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `GET /docs` and `GET /docs/{file}`
pub async fn docs(Extension(call): Extension<CallId>, request: Request) -> Response<Body> {
    let name = request.uri().path().trim_start_matches("/docs").trim_start_matches('/');
    files::answer(&FILES, name, "/docs", &POLICY, request.headers(), &call)
}
