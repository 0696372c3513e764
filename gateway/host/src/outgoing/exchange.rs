//! One request and its response over one connection: bodies stream both ways, no wait is endless.
//!
//! The connection is driven by a task of its own, which ends with the response's body, or at once when
//! the run is dropped: then its socket closes. A time-out runs only while the peer is waited for, never
//! while the guest is. Knows no addresses and no grants.

use super::connect::{Duplex, tls_error};
use super::{Answer, Io, strip};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use std::error::Error as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};
use wasmtime_wasi::runtime;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes of a response's head, and of what is read ahead of its body.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long is waited for the peer, at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For the connection: look-up, TCP and TLS together.
    pub(super) connect: Duration,
    /// For the response's head, from the last byte of the request.
    pub(super) first_byte: Duration,
    /// Between two pieces of the response's body.
    pub(super) between_bytes: Duration,
}

/// Sends `request`, waits for the response's head. `permit` is held as long as the connection.
pub(super) async fn exchange(
    stream: Box<dyn Duplex>,
    request: Request<WasiBody>,
    timeouts: Timeouts,
    connect_by: Instant,
    permit: OwnedSemaphorePermit,
) -> Answer {
    let shaken = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) =
        timeout_at(connect_by, shaken).await.map_err(|_| Error::ConnectionTimeout)?.map_err(|e| told(&e))?;
    let driver = runtime::spawn(async move {
        let end = connection.await;
        drop(permit);
        end.map_err(|error| told(&error))
    });
    let sending = Sending::default();
    let request = request.map(|body| Sent { body, sending: sending.clone() }.boxed_unsync());
    let mut response = pin!(sender.send_request(request));
    let mut deadline = Instant::now() + timeouts.first_byte;
    let response = loop {
        tokio::select! {
            response = &mut response => break response.map_err(|error| told(&error))?,
            () = sleep_until(deadline) => match sending.peer_due(timeouts.first_byte) {
                Some(later) => deadline = later,
                None => return Err(Error::ConnectionReadTimeout),
            },
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    let body =
        |incoming| Received { incoming, between: timeouts.between_bytes, waiting: None }.boxed_unsync();
    let mut response: Response<WasiBody> = response.map(body);
    // The guest's answer to its own caller must not carry what was said of this connection.
    strip(response.headers_mut());
    // Dropped, the driver is stopped, and the connection closed. How it ends is told to the body's reader;
    // told here as well, every server that hangs up would be a warning in the log.
    let io: Io = Box::new(async move {
        let _ = driver.await;
        Ok(())
    });
    Ok((response, io))
}

/// How far the sending of a request's body is, shared between body and time-out.
#[derive(Clone, Default)]
struct Sending(Arc<Mutex<State>>);

#[derive(Clone, Copy)]
struct State {
    /// The guest has to act before the peer can.
    guest: bool,
    /// When the last piece was taken from the guest.
    last: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self { guest: false, last: Instant::now() }
    }
}

impl Sending {
    fn set(&self, guest: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State { guest, last: Instant::now() };
    }

    /// When the peer will have been waited for as long as `patience`; `None` if it has been already.
    fn peer_due(&self, patience: Duration) -> Option<Instant> {
        let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = if state.guest { now + patience.max(GUEST_RECHECK) } else { state.last + patience };
        (due > now).then_some(due)
    }
}

/// How often it is looked again whether the guest still has to act, at least.
const GUEST_RECHECK: Duration = Duration::from_millis(10);

/// A request's body on its way out.
struct Sent {
    body: WasiBody,
    sending: Sending,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.sending.set(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body on its way in.
struct Received {
    incoming: Incoming,
    between: Duration,
    /// Runs while the peer is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(frame) => {
                self.waiting = None;
                Poll::Ready(frame.map(|frame| frame.map_err(|error| told(&error))))
            }
            Poll::Pending => {
                let between = self.between;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(between)));
                waiting.as_mut().poll(context).map(|()| Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What went wrong, in the words of `wasi:http`.
fn told(error: &hyper::Error) -> Error {
    tracing::debug!("an exchange of a guest: {error:?}");
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_parse() {
        return Error::HttpProtocolError;
    }
    if error.is_incomplete_message() {
        return Error::HttpResponseIncomplete;
    }
    if error.is_timeout() {
        return Error::HttpResponseTimeout;
    }
    let Some(cause) = error.source() else { return Error::ConnectionTerminated };
    if let Some(Error::HttpRequestBodySize(size)) = cause.downcast_ref::<Error>() {
        return Error::HttpRequestBodySize(*size);
    }
    if cause.is::<Error>() {
        return Error::HttpProtocolError;
    }
    cause.downcast_ref::<io::Error>().and_then(tls_error).unwrap_or(Error::ConnectionTerminated)
}
