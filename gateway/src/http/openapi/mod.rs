//! `GET /openapi.json`: what can be called at this moment, as an OpenAPI 3.1 document.
//!
//! Made from the same shapes as decoder, encoder and `GET /tasks/{task}`, once per snapshot: it is
//! kept until another snapshot serves. It describes calls and must not make any.
//!
//! | file | owns |
//! |---|---|
//! | `document.rs` | the whole: paths, tags, components |
//! | `operations.rs` | functions and manifest routes as operations |
//! | `inputs.rs`, `outputs.rs` | parameters and bodies; results |
//! | `problems.rs` | which problems can occur where |
//! | `streams.rs` | tasks that take requests as they come |
//! | `own.rs` | the gateway's own URLs |

mod document;
mod inputs;
mod operations;
mod outputs;
mod own;
mod problems;
mod streams;
#[cfg(test)]
mod tests;

use super::Gateway;
use super::answer::fixed;
use super::etag;
use crate::registry::Snapshot;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// `GET /openapi.json`
pub async fn openapi(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response<Body> {
    let Document { bytes, tag } =
        gateway.openapi.of(&gateway.registry.snapshot(), gateway.tokens.is_some()).await;
    etag::answer(&headers, &tag, || fixed(StatusCode::OK, "application/json", bytes))
}

/// The document of the snapshot that was asked for last.
#[derive(Default)]
pub struct Cache(Mutex<Option<(Weak<Snapshot>, Document)>>);

/// The document as it is sent.
#[derive(Clone)]
struct Document {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Cache {
    /// The document of `snapshot`; `secured` is the same each time. Whoever asks while another makes it waits for that one.
    async fn of(&self, snapshot: &Arc<Snapshot>, secured: bool) -> Document {
        let mut cached = self.0.lock().await;
        // A weak pointer keeps no task alive, and no other snapshot gets its address.
        if let Some((of, document)) = cached.as_ref()
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(snapshot))
        {
            return document.clone();
        }
        let bytes = Bytes::from(document::of(snapshot, secured).await.to_string());
        let document = Document { tag: etag::of(&bytes), bytes };
        *cached = Some((Arc::downgrade(snapshot), document.clone()));
        document
    }
}
