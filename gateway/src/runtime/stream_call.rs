//! One call of a function whose result is a `stream<u8>`: the response's body, as the guest writes it.
//!
//! The function is called like any other; what it returns is then read for as long as it is written,
//! by tasks that the guest left behind. Knows no pool and no URLs.

use super::arguments::Resolved;
use super::call::{Clock, task_error};
use super::component::{Linked, Returned};
use super::exchange::Fault;
use super::{Call, Function};
use crate::error::Error;
use crate::exchange::Head;
use crate::limits::Limits;
use crate::task::{Phase, Timing};
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt as _;
use std::future::poll_fn;
use unblock_host::{Host, Outflow, Pipe};
use wasmtime::Store;
use wasmtime::component::Val;

/// The media type of a stream of bytes.
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What the call needs beside the store.
pub(super) struct Parts<'a> {
    pub(super) linked: &'a Linked,
    pub(super) function: &'a Function,
    pub(super) resolved: Resolved,
    pub(super) limits: &'a Limits,
    pub(super) pipe: &'a Pipe,
    pub(super) head: Head,
}

/// Calls the function and lets its stream flow until it ends.
pub(super) async fn execute(
    parts: Parts<'_>,
    store: &mut Store<Host>,
    clock: &mut Clock,
    timing: &mut Timing,
) -> Result<(), Fault> {
    let Parts { linked, function, resolved, limits, pipe, head } = parts;
    let Resolved { mut given, stream, .. } = resolved;
    if let (Some(stream), Some((position, _))) = (stream, &function.body_stream) {
        given.insert(*position, stream, store).map_err(Error::internal)?;
    }
    let Call::Component(export) = &function.call else {
        return Err(Error::internal(anyhow::anyhow!("a function of another kind than its module")).into());
    };
    let instance = linked.0.instantiate_async(&mut *store).await;
    timing.instantiate = clock.lap();
    let instance = instance.map_err(|error| Fault::Engine(error, Phase::Instantiate))?;
    let run = |error| Fault::Engine(error, Phase::Run);
    let returned = export.call(store, &instance, given, true).await.map_err(run)?;
    let stream = match returned {
        Returned::Value(Val::Result(Ok(Some(stream)))) => *stream,
        Returned::Value(Val::Result(Err(err))) => {
            let shape = function.error.as_ref().and_then(Option::as_ref);
            return Err(task_error(shape, err.map(|err| *err), limits).into());
        }
        Returned::Value(stream) => stream,
        _ => return Err(Error::internal(anyhow::anyhow!("a function without the stream it promised")).into()),
    };
    let ended = Outflow::take(stream, pipe.clone(), &mut *store).map_err(run)?;
    let mut response = http::Response::new(pipe.reader().map_err(|never| match never {}).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, BINARY);
    // A caller that is gone ends the run by itself.
    let _ = head.send(response);
    let flowed = store
        .run_concurrent(async |accessor| {
            let _ = ended.await;
            pipe.close();
            // The guest may go on after its last byte.
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        })
        .await;
    flowed.map_err(run)
}
