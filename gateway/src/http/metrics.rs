//! `GET /metrics`: the gateway's figures for whoever collects them.
//!
//! Gathers what the layers below count, and chooses the form that the client reads. What is counted, and
//! under which names, is the matter of `metrics/`.

use super::answer::fixed;
use super::error::Context;
use super::id::CallId;
use super::{Gateway, compress, negotiate};
use crate::error::Error;
use crate::metrics::{Figures, Form, Sources};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::fmt;
use std::sync::Arc;

/// Above it the text is sent as it is: compressing takes an HTTP thread some 10 ms for each MiB.
const COMPRESSED_BYTES_MAX: usize = 512 << 10;

/// `GET /metrics`
pub async fn metrics(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    headers: HeaderMap,
) -> Response<Body> {
    let form = negotiate::exposition(&headers);
    match text(&gateway, form).await {
        Ok(text) => {
            let large = text.len() > COMPRESSED_BYTES_MAX;
            let mut response = fixed(StatusCode::OK, form.media_type(), text);
            response.headers_mut().append(VARY, HeaderValue::from(ACCEPT));
            if large {
                response.extensions_mut().insert(compress::AsItIs);
            }
            response
        }
        Err(error) => Context::of(&call).respond(&Error::internal(error)),
    }
}

async fn text(gateway: &Gateway, form: Form) -> Result<String, fmt::Error> {
    let figures = read(gateway);
    let mut text = String::new();
    for part in figures.write(form) {
        text.push_str(&part?);
        // With a thousand tasks a part takes milliseconds, which others on this thread need not wait for.
        tokio::task::yield_now().await;
    }
    Ok(text)
}

fn read(gateway: &Gateway) -> Figures {
    let (registry, invoker) = (&gateway.registry, &gateway.invoker);
    let memory = invoker.memory();
    Figures::read(Sources {
        snapshot: &registry.snapshot(),
        loads: registry.loads(),
        compiled: invoker.compiled(),
        observer: invoker.observer(),
        pool: invoker.pool().stats(),
        memory_bytes: (memory.held_bytes(), memory.bytes_max()),
        answered: gateway.answers.read(),
        connections_max: gateway.settings.connections_max,
        ready: registry.ready(),
        draining: gateway.draining(),
    })
}
