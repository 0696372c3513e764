//! Connections: accepts them, serves HTTP on each, and lets them end.
//!
//! In clear it is HTTP/1; under TLS client and server choose between that and HTTP/2 (ALPN), so no
//! connection is guessed at.
//!
//! What surrounds every handler happens here, in the order listed in the folder's front page. A
//! connection is a task of the async runtime that owns its requests: when it ends, for whatever
//! reason, the handlers' futures are dropped, and with them the calls they wait for. It must not
//! know URLs.

use super::client::Client;
use super::error::Context;
use super::h2::{self, Traffic};
use super::id::{CallId, X_REQUEST_ID};
use super::manage::{self, Actor};
use super::rate::Left;
use super::socket::Socket;
use super::{Gateway, access, compress, cors, events, routes};
use crate::error::{Error, Kind};
use crate::{limits, tls};
use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, HOST};
use axum::http::{HeaderValue, Request, Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service as _;

/// First pause after a failed accept, doubled up to [`PAUSE_MAX`]: out of file descriptors, say,
/// only time helps, and trying at once would spin.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest such pause: how late a freed descriptor may be noticed.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections the kernel may hold until they are accepted; it takes the lesser of this and
/// `net.core.somaxconn`. One that overflows waits a second for its next try: of a crowd of 5,000
/// half came too late with tokio's 1,024.
const BACKLOG_MAX: u32 = 65_535;

/// How far over our own bound on the header the parser still reads, so that most clients over it
/// get a problem document and not the parser's bare 431.
pub const HEADER_FACTOR: usize = 2;

/// Bytes the parser may buffer beyond a header: a body comes in pieces of about this size.
const READ_BYTES_MAX: usize = 256 * limits::KIB as usize;

/// Binds a port for [`serve`], with a backlog as long as the kernel allows.
///
/// # Errors
/// What the kernel says: the port is taken, or not allowed.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does: a restart need not wait for the last one's connections to expire.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

/// Serves connections from `listener` until `shutdown` resolves, then lets them end: a response in
/// flight is finished, an idle connection is closed. Resolves when the last one is gone.
///
/// Dropping the future closes every connection at once and so stops every call: that is how a
/// caller bounds the grace it gives.
///
/// # Errors
/// If the listener has no address, which means that it is broken.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, shutdown: impl Future) -> io::Result<()> {
    tracing::debug!(listen = %listener.local_addr()?, "accepting connections");
    let router = routes(Arc::clone(&gateway));
    let http = parser(&gateway);
    let http2 = h2::parser(&gateway.settings);
    // Ends with this function.
    let mut sampler = JoinSet::new();
    sampler.spawn(events::sample(Arc::clone(&gateway)));
    let (closing, _) = watch::channel(false);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            _ = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, address) = accept(&listener), if connections.len() < gateway.settings.connections_max => {
                let peer = Client::direct(address, gateway.tls.is_some());
                let edge = Edge::new(&gateway, &router, peer);
                match &gateway.tls {
                    None => {
                        let socket = Socket::new(stream, gateway.settings.write_timeout, Arc::clone(&edge.linger));
                        let service = service_fn(move |request| respond(Arc::clone(&edge), request));
                        let connection = graceful.watch(http.serve_connection(socket, service));
                        connections.spawn(async move { broke(connection.await) });
                    }
                    Some(tls) => {
                        let secured = Secured {
                            edge,
                            acceptor: TlsAcceptor::from(Arc::clone(&**tls.load())),
                            http: http.clone(),
                            http2: http2.clone(),
                            watcher: graceful.watcher(),
                            closing: closing.subscribe(),
                        };
                        connections.spawn(secured.serve(stream));
                    }
                }
            }
        }
    }
    drop(listener);
    tracing::debug!(connections = connections.len(), "closing connections");
    closing.send_replace(true);
    gateway.watch.close();
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
    Ok(())
}

fn broke(ended: hyper::Result<()>) {
    if let Err(cause) = ended {
        tracing::debug!(cause = format!("{:#}", anyhow::Error::from(cause)), "a connection broke");
    }
}

/// What serves one connection under TLS.
struct Secured {
    edge: Arc<Edge>,
    acceptor: TlsAcceptor,
    http: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    watcher: Watcher,
    closing: watch::Receiver<bool>,
}

impl Secured {
    /// Shakes hands, in the time of a header, and serves what was agreed on.
    async fn serve(self, stream: TcpStream) {
        let Self { edge, acceptor, http, http2, watcher, closing } = self;
        let patience = edge.gateway.settings.header_timeout;
        let stream = match tokio::time::timeout(patience, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(cause)) => {
                tracing::debug!(cause = %cause, "a TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                return;
            }
        };
        let is_h2 = agreed(&stream) == Some(tls::H2);
        let write_timeout = edge.gateway.settings.write_timeout;
        let socket = Socket::new(stream, write_timeout, Arc::clone(&edge.linger));
        if !is_h2 {
            let service = service_fn(move |request| respond(Arc::clone(&edge), request));
            return broke(watcher.watch(http.serve_connection(socket, service)).await);
        }
        let traffic = Arc::new(Traffic::default());
        let (seen, gateway) = (Arc::clone(&traffic), Arc::clone(&edge.gateway));
        let service = service_fn(move |request| {
            let (edge, ongoing) = (Arc::clone(&edge), seen.begin());
            async move { respond(edge, with_host(request)).await.map(|response| ongoing.follow(response)) }
        });
        let connection = http2.serve_connection(socket, service);
        broke(h2::serve(connection, &traffic, &gateway.settings, closing).await);
    }
}

/// The protocol that client and server chose.
fn agreed(stream: &TlsStream<TcpStream>) -> Option<&[u8]> {
    stream.get_ref().1.alpn_protocol()
}

/// HTTP/2 says in the target whom the client asks; everything behind looks for it in `Host`.
fn with_host(mut request: Request<Incoming>) -> Request<Incoming> {
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    request
}

fn parser(gateway: &Gateway) -> http1::Builder {
    let header_bytes_max = gateway.settings.header_bytes_max.saturating_mul(HEADER_FACTOR);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(gateway.settings.header_timeout)
        .max_header_size(header_bytes_max)
        .max_buf_size(header_bytes_max.saturating_add(READ_BYTES_MAX))
        // A client that closed its sending side is gone: its call is stopped.
        .half_close(false);
    http
}

/// The next connection. No error of accepting ends the server, and none makes it spin.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Small answers must not wait for the client's acknowledgements. It fails only on
                // a connection that is gone already, which reading will tell.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(error) if left_early(&error) => {}
            Err(error) => {
                tracing::warn!(cause = %error, "cannot accept connections; trying again in {}", limits::duration(pause));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Whether only the one connection is lost, before it was accepted.
fn left_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// What the requests of one connection share.
struct Edge {
    gateway: Arc<Gateway>,
    router: Router,
    peer: Client,
    /// Something is asked of every request before its handler.
    guarded: bool,
    linger: Arc<AtomicBool>,
}

impl Edge {
    fn new(gateway: &Arc<Gateway>, router: &Router, peer: Client) -> Arc<Self> {
        gateway.answers.opened();
        Arc::new(Self {
            gateway: Arc::clone(gateway),
            router: router.clone(),
            peer,
            guarded: gateway.tokens.is_some() || gateway.rates.is_some(),
            linger: Arc::new(AtomicBool::new(false)),
        })
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.gateway.answers.closed();
    }
}

/// A request's body that is on its way: until its end was read, the connection is closed gently (see
/// `socket.rs`). Whoever answers early need not say so: an error, a guest that has read enough.
struct Expected {
    body: Incoming,
    linger: Arc<AtomicBool>,
}

impl Expected {
    /// The body of a connection's next request.
    fn body(body: Incoming, linger: &Arc<AtomicBool>) -> Body {
        let expected = !body.is_end_stream();
        linger.store(expected, Ordering::Relaxed);
        if expected { Body::new(Self { body, linger: Arc::clone(linger) }) } else { Body::empty() }
    }
}

impl HttpBody for Expected {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(poll, Poll::Ready(None)) || self.body.is_end_stream() {
            self.linger.store(false, Ordering::Relaxed);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One request: its id, a preflight's answer or its header's bound, who sends it and how often, the handler,
/// compression, what pages may do with the answer, and the id again.
async fn respond(edge: Arc<Edge>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let call = edge.gateway.ids.of(request.headers());
    let accepted = request.headers().get(ACCEPT_ENCODING).cloned();
    let cors = edge.gateway.settings.cors.as_ref();
    let allowed = cors.and_then(|cors| cors.allowed(request.headers()));
    let preflight = cors.filter(|_| cors::is_preflight(request.method(), request.headers()));
    let mut request = request.map(|body| Expected::body(body, &edge.linger));
    let mut left = None;
    let response = if let Some(cors) = preflight {
        // Browsers send no token with it, so it comes before every question.
        cors.preflight(allowed.clone())
    } else {
        match admit(&edge, &call, &mut request, &mut left) {
            Err(error) => Context::of(&call).respond(&error),
            Ok(()) => {
                request.extensions_mut().insert(call.clone());
                match edge.router.clone().call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        }
    };
    let problem = response.extensions().get::<Kind>().copied();
    edge.gateway.answers.answered(response.status().as_u16(), problem);
    let mut response = compress::apply(accepted, response).await;
    if let Some(cors) = cors.filter(|_| preflight.is_none()) {
        cors.tell(response.headers_mut(), allowed);
    }
    if let Some(id) = call.header() {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    if let (Some(rates), Some(left)) = (&edge.gateway.rates, left) {
        rates.tell(&mut response, left);
    }
    Ok(response)
}

/// Whether a request gets to its handler. `left` becomes how many more its client may send, or when.
fn admit(
    edge: &Edge,
    call: &CallId,
    request: &mut Request<Body>,
    left: &mut Option<Left>,
) -> Result<(), Error> {
    let (found, most) = (header_bytes(request), edge.gateway.settings.header_bytes_max);
    if found > most {
        return Err(headers_too_large(found, most));
    }
    let client = match &edge.gateway.settings.proxies {
        None => edge.peer,
        Some(proxies) => proxies.settle(edge.peer, request.headers_mut()),
    };
    request.extensions_mut().insert(client);
    let managing = manage::meant(request.method(), request.uri().path());
    if !edge.guarded && !managing {
        return Ok(());
    }
    let result = guard(&edge.gateway, request, left);
    if let (Err(error), true) = (&result, managing) {
        Actor::of(call, request).audit(Err(error));
    }
    result
}

/// Who asks, and whether that is known and not too often.
fn guard(gateway: &Gateway, request: &mut Request<Body>, left: &mut Option<Left>) -> Result<(), Error> {
    let path = request.uri().path();
    let probe = matches!(path, "/livez" | "/readyz");
    let identified = match &gateway.tokens {
        Some(tokens) if !access::open(path) => Some(access::identify(&tokens.load(), request.headers())),
        _ => None,
    };
    if gateway.tokens.is_some() {
        // The gateway's own: no guest gets to see it.
        request.headers_mut().remove(AUTHORIZATION);
    }
    let identified = identified.map(|identified| {
        identified.map(|holder| {
            request.extensions_mut().insert(holder);
        })
    });
    if let Some(rates) = gateway.rates.as_ref().filter(|_| !probe) {
        let admitted = rates.admit(request.extensions());
        *left = Some(match &admitted {
            Ok(more) => Left::More(*more),
            Err(error) => Left::Wait(error.retry_after.unwrap_or_default()),
        });
        admitted?;
    }
    identified.unwrap_or(Ok(()))
}

fn header_bytes(request: &Request<Body>) -> usize {
    let fields: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let target = request.uri();
    fields + target.path().len() + target.query().map_or(0, str::len)
}

fn headers_too_large(found: usize, most: usize) -> Error {
    let most = limits::bytes(most as u64);
    Error::new(
        Kind::HeadersTooLarge,
        format!("found a header of {}, expected at most {most}", limits::bytes(found as u64)),
    )
    .limit("header", most)
}
