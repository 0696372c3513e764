//! The gateway's own small answers: the greeting, liveness, readiness, and methods not served.
//!
//! None of them waits for anything, so they answer in microseconds whatever the tasks do. They
//! must not know tasks.

use super::Gateway;
use super::answer::fixed;
use super::error::Context;
use super::id::CallId;
use crate::error::{Error, Kind};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Response, StatusCode};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const TEXT: &str = "text/plain; charset=utf-8";

/// `GET /` for those who want no page: the article's first handler.
pub fn hello() -> Response<Body> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    fixed(StatusCode::OK, TEXT, format!("Hello, world {seconds}"))
}

/// `GET /livez`: the process answers.
pub async fn live() -> Response<Body> {
    fixed(StatusCode::OK, TEXT, "ok\n")
}

/// `GET /readyz`: calls are welcome. A state, not a failure, so it is neither logged nor a problem.
pub async fn ready(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    if gateway.draining() {
        return fixed(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining: the gateway is shutting down\n");
    }
    if !gateway.registry.ready() {
        return fixed(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "loading: the first scan of the tasks folder still runs\n",
        );
    }
    fixed(StatusCode::OK, TEXT, "ready\n")
}

/// A method that a path does not serve. The router adds `Allow`, which also answers `OPTIONS`.
pub async fn other_method(Extension(call): Extension<CallId>, method: Method) -> Response<Body> {
    if method == Method::OPTIONS {
        return no_content();
    }
    let detail = format!("found {method}, expected one of the methods in the Allow header");
    Context::of(&call).respond(&Error::new(Kind::MethodNotAllowed, detail))
}

/// The answer to `OPTIONS`.
pub fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
