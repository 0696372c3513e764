//! HTTP/2 connections: their bounds, and the end of those that idle or stall.
//!
//! One connection carries many requests, so what HTTP/1 gets from the socket has to be kept by stream
//! here: a client that opens no window for one response stalls that one alone. Nothing of it concerns
//! requests and answers themselves. It must not know URLs.

use super::Settings;
use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Requests under way on one connection. RFC 9113 recommends 100 at least.
const STREAMS_MAX: u32 = 128;

/// Streams that a client reset before they were looked at, then the connection is closed: "rapid reset"
/// (CVE-2023-44487) makes work without waiting for it.
const RESETS_PENDING_MAX: usize = 20;

/// Streams that were reset because of what the client sent, then the connection is closed (CVE-2025-8671).
const RESETS_FAULTY_MAX: usize = 256;

/// Bytes of a response that are copied before the client takes them.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// Largest piece of a response that is handed over at once: a client has the time of one write for each, so
/// a slow one that goes on is not cut off, however large its response.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// How much of a body the client may send before it is read: per request, and on the whole connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// A client that does not answer a ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of all connections.
pub fn parser(settings: &Settings) -> http2::Builder<TokioExecutor> {
    let header_bytes_max = settings.header_bytes_max.saturating_mul(super::server::HEADER_FACTOR);
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_FAULTY_MAX)
        .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// What goes on on one connection.
pub struct Traffic(Mutex<Streams>);

struct Streams {
    next: u64,
    /// Requests whose response has not been handed over whole.
    open: usize,
    /// When that number last changed.
    since: Instant,
    /// Since when a piece of a response waits for the client to take it.
    waiting: BTreeMap<u64, Instant>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self(Mutex::new(Streams { next: 0, open: 0, since: Instant::now(), waiting: BTreeMap::new() }))
    }
}

impl Traffic {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        // Nothing in the locked sections can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request; it is under way until the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> Ongoing {
        let mut streams = self.streams();
        let id = streams.next;
        streams.next += 1;
        streams.open += 1;
        streams.since = Instant::now();
        Ongoing { traffic: Arc::clone(self), id }
    }

    /// How long nothing has been asked.
    fn idle(&self) -> Option<Duration> {
        let streams = self.streams();
        (streams.open == 0).then(|| streams.since.elapsed())
    }

    /// How long the client has taken nothing of a response.
    fn stalled(&self) -> Option<Duration> {
        self.streams().waiting.values().min().map(Instant::elapsed)
    }
}

/// A request under way.
pub struct Ongoing {
    traffic: Arc<Traffic>,
    id: u64,
}

impl Ongoing {
    /// The response, followed to its end.
    pub fn follow(self, response: Response<Body>) -> Response<Body> {
        if response.body().is_end_stream() {
            return response;
        }
        response.map(|body| Body::new(Followed { body, rest: Bytes::new(), ongoing: self }))
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let mut streams = self.traffic.streams();
        streams.waiting.remove(&self.id);
        streams.open = streams.open.saturating_sub(1);
        streams.since = Instant::now();
    }
}

/// A response's body that notes whether the guest or the client is waited for: the next piece is asked
/// for once the one before it is on its way.
struct Followed {
    body: Body,
    /// What is left of a piece that was too large.
    rest: Bytes,
    ongoing: Ongoing,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let id = self.ongoing.id;
        self.ongoing.traffic.streams().waiting.remove(&id);
        let frame = if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            }
        } else {
            Frame::data(std::mem::take(&mut self.rest))
        };
        self.ongoing.traffic.streams().waiting.insert(id, Instant::now());
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut piece) => {
                if piece.len() > PIECE_BYTES_MAX {
                    self.rest = piece.split_off(PIECE_BYTES_MAX);
                }
                Frame::data(piece)
            }
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// Serves a connection until its client, the gateway's end (`closing`) or the clock ends it.
///
/// # Errors
/// Why it broke.
pub async fn serve<C>(
    connection: C,
    traffic: &Traffic,
    settings: &Settings,
    mut closing: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    C: Graceful,
{
    let mut connection = std::pin::pin!(connection);
    let (idle_max, stall_max) = (settings.header_timeout, settings.write_timeout);
    let mut looks = tokio::time::interval((idle_max.min(stall_max) / 4).clamp(LOOK_MIN, LOOK_MAX));
    let mut ending: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            // The sender's end means the same as its word.
            _ = closing.wait_for(|closing| *closing), if ending.is_none() => {
                ending = Some(Instant::now());
                connection.as_mut().end();
            }
            _ = looks.tick() => {
                let idle = traffic.idle();
                let stalled = traffic.stalled().is_some_and(|time| time > stall_max);
                // What it was sent last may still wait for it in the connection's buffers.
                let late = ending.is_some_and(|since| idle.is_some() && since.elapsed() > stall_max);
                if stalled || late {
                    tracing::debug!(stalled, "a connection's client takes nothing: closed");
                    return Ok(());
                }
                if ending.is_none() && idle.is_some_and(|time| time > idle_max) {
                    ending = Some(Instant::now());
                    connection.as_mut().end();
                }
            }
        }
    }
}

/// How often a connection is looked at.
const LOOK_MIN: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_secs(1);

/// A connection that can be asked to end after what is under way.
pub trait Graceful: Future<Output = hyper::Result<()>> {
    /// Takes no further requests.
    fn end(self: Pin<&mut Self>);
}

impl<I, S, E, B> Graceful for http2::Connection<I, S, E>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
    Self: Future<Output = hyper::Result<()>>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
