//! `GET /`: the live page for browsers, the greeting for everybody else.
//!
//! Owns which of the two it is, and the page's files: plain HTML, CSS and JavaScript modules, embedded as
//! they are, and uPlot, which draws the charts (`vendor/`, as npm has it). The page is open; what it shows
//! comes from `/state`, `/events` and the other URLs, with whatever they ask for. It must not know what
//! they say.

use super::files::{self, File, file};
use super::id::CallId;
use super::{negotiate, probes};
use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::VARY;
use axum::http::{HeaderValue, Response};

/// The page itself comes first.
static FILES: [File; 15] = [
    file!("", "text/html; charset=utf-8", "index.html"),
    file!("style.css", "text/css; charset=utf-8", "style.css"),
    file!("icon.svg", "image/svg+xml", "icon.svg"),
    file!("app.js", "text/javascript; charset=utf-8", "app.js"),
    file!("api.js", "text/javascript; charset=utf-8", "api.js"),
    file!("charts.js", "text/javascript; charset=utf-8", "charts.js"),
    file!("dom.js", "text/javascript; charset=utf-8", "dom.js"),
    file!("form.js", "text/javascript; charset=utf-8", "form.js"),
    file!("overview.js", "text/javascript; charset=utf-8", "overview.js"),
    file!("result.js", "text/javascript; charset=utf-8", "result.js"),
    file!("task.js", "text/javascript; charset=utf-8", "task.js"),
    file!("terms.js", "text/javascript; charset=utf-8", "terms.js"),
    file!("uplot.js", "text/javascript; charset=utf-8", "vendor/uPlot.iife.min.js"),
    file!("uplot.css", "text/css; charset=utf-8", "vendor/uPlot.min.css"),
    file!("uplot.txt", "text/plain; charset=utf-8", "vendor/LICENSE"),
];

/// Nothing but this server's own files and answers, and nothing inside the page itself: what a task says of
/// itself or answers can run nothing, and send nothing elsewhere. Pictures that a call returned are shown
/// from a blob.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

/// `GET /`
pub async fn root(request: Request) -> Response<Body> {
    let [page, ..] = &FILES;
    let mut response = if negotiate::page(request.headers()) {
        page.answer(request.headers(), &POLICY)
    } else {
        probes::hello()
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// `GET /page/{file}`
pub async fn file(Extension(call): Extension<CallId>, request: Request) -> Response<Body> {
    let name = request.uri().path().trim_start_matches("/page").trim_start_matches('/');
    files::answer(FILES.get(1..).unwrap_or_default(), name, "/", &POLICY, request.headers(), &call)
}
