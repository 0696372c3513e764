//! Kind: `wasi:http` guest, 0.2 (`incoming-handler`) and 0.3 (`handler`). How one request is served.
//!
//! The guest gets the request as it came and writes the response itself; both bodies are streams of
//! the engine's own HTTP types, so that back-pressure reaches the guest. A 0.3 guest needs its event
//! loop to run for as long as its body is read or its tasks go on. Knows no pool and no URLs.

use super::call::Clock;
use super::exchange::Fault;
use crate::error::{Error, Kind, LoadError};
use crate::exchange::{Head, Reply, Stream};
use crate::task::{Phase, Timing};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use unblock_host::Host;
use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error as HttpError, WasiBody, WasiHttpView as _, p3};

/// The interface of a 0.2 guest, without its version.
pub const HANDLER_P2: &str = "wasi:http/incoming-handler";

/// The interface of a 0.3 guest, without its version.
pub const HANDLER_P3: &str = "wasi:http/handler";

/// A compiled guest with its imports and its handler resolved.
pub enum Linked {
    /// WASI 0.2.
    P2(ProxyPre<Host>),
    /// WASI 0.3.
    P3(ServicePre<Host>),
}

impl Linked {
    /// Takes a component that exports one of the handlers.
    ///
    /// # Errors
    /// The handler is of a version that this engine does not call.
    pub fn new(pre: InstancePre<Host>, handler: &str) -> Result<Self, LoadError> {
        let linked = if handler.starts_with(HANDLER_P2) {
            ProxyPre::new(pre).map(Self::P2)
        } else {
            ServicePre::new(pre).map(Self::P3)
        };
        linked.map_err(|error| {
            LoadError::new(
                format!("found {handler}, which this engine cannot call: {error:#}"),
                "rebuild it for wasi:http 0.2 (incoming-handler) or 0.3.0 (handler)",
            )
        })
    }
}

/// Serves one request.
pub(super) async fn serve(
    linked: &Linked,
    store: &mut Store<Host>,
    request: http::Request<Stream>,
    head: Head,
    clock: &mut Clock,
    timing: &mut Timing,
) -> Result<(), Fault> {
    let request = request.map(incoming);
    match linked {
        Linked::P2(pre) => {
            let proxy = pre.instantiate_async(&mut *store).await;
            timing.instantiate = clock.lap();
            let proxy = proxy.map_err(|error| Fault::Engine(error, Phase::Instantiate))?;
            serve_p2(&proxy, store, request, head).await
        }
        Linked::P3(pre) => {
            let service = pre.instantiate_async(&mut *store).await;
            timing.instantiate = clock.lap();
            let service = service.map_err(|error| Fault::Engine(error, Phase::Instantiate))?;
            serve_p3(&service, store, request, head).await
        }
    }
}

/// What a 0.2 guest did with its response, shared with the call-back that it answers through.
#[derive(Default)]
struct Answer {
    head: Option<Head>,
    refused: Option<String>,
}

async fn serve_p2(
    proxy: &wasmtime_wasi_http::p2::bindings::Proxy,
    store: &mut Store<Host>,
    request: http::Request<WasiBody>,
    head: Head,
) -> Result<(), Fault> {
    let run = |error| Fault::Engine(error, Phase::Run);
    let answer = Arc::new(Mutex::new(Answer { head: Some(head), refused: None }));
    let given = Arc::clone(&answer);
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request).map_err(run)?;
    let out = http
        .new_response_outparam_from_callback(move |response| {
            let mut answer = given.lock().unwrap_or_else(PoisonError::into_inner);
            match response {
                Ok(response) => {
                    if let Some(head) = answer.head.take() {
                        // A caller that is gone ends the run by itself.
                        let _ = head.send(outgoing(response));
                    }
                }
                Err(code) => answer.refused = Some(format!("{code:?}")),
            }
        })
        .map_err(run)?;
    let called = proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await;
    called.map_err(run)?;
    let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
    match (answer.refused.take(), answer.head.take()) {
        (Some(code), _) => Err(refused(&code).into()),
        (None, Some(_)) => Err(unanswered().into()),
        (None, None) => Ok(()),
    }
}

async fn serve_p3(
    service: &p3::bindings::Service,
    store: &mut Store<Host>,
    request: http::Request<WasiBody>,
    head: Head,
) -> Result<(), Fault> {
    let (request, _request_read) = p3::Request::from_http(store.data_mut().http().hooks, request);
    let served = store
        .run_concurrent(async |accessor| -> wasmtime::Result<Result<(), String>> {
            let response = match service.handle(accessor, request).await? {
                Ok(response) => response,
                Err(code) => return Ok(Err(format!("{code:?}"))),
            };
            let (told, read) = oneshot::channel();
            let (done, ended) = oneshot::channel();
            // What the guest learns of its response: that it was taken, or that nobody was left to.
            let taken = async move { read.await.map_err(|_| HttpError::ConnectionTerminated) };
            let response = accessor.with(|mut store| response.into_http(&mut store, taken))?;
            let _ = head.send(outgoing(
                response.map(|body| Told { body, told: Some(told), _done: done }.boxed_unsync()),
            ));
            // Resolves, with an error, when the body is dropped, which is its end.
            let _ = ended.await;
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(Ok(()))
        })
        .await;
    match served.and_then(|served| served) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(code)) => Err(refused(&code).into()),
        Err(error) => Err(Fault::Engine(error, Phase::Run)),
    }
}

/// A body that tells its writer when it was read to the end.
struct Told {
    body: WasiBody,
    told: Option<oneshot::Sender<()>>,
    /// Dropped with the body.
    _done: oneshot::Sender<()>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none()
            && let Some(told) = self.told.take()
        {
            let _ = told.send(());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The caller's body in the engine's words.
fn incoming(body: Stream) -> WasiBody {
    body.map_err(|error| match error.kind {
        Kind::InputTooLarge => HttpError::HttpRequestBodySize(None),
        Kind::RequestTimeout => HttpError::ConnectionReadTimeout,
        _ => HttpError::ConnectionTerminated,
    })
    .boxed_unsync()
}

/// The guest's response in ours.
fn outgoing(response: http::Response<WasiBody>) -> Reply {
    response.map(|body| {
        body.map_err(|error| {
            Error::new(Kind::BadResponse, format!("the guest's response body broke off: {error}"))
        })
        .boxed_unsync()
    })
}

fn refused(code: &str) -> Error {
    Error::new(
        Kind::BadResponse,
        format!("the guest answered with the error code {code} instead of a response"),
    )
}

fn unanswered() -> Error {
    Error::new(
        Kind::BadResponse,
        "the guest returned without an answer; call response-outparam.set before returning",
    )
}
