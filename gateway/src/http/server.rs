//! Connections: accepts them, serves HTTP/1 on each, and lets them end.
//!
//! What surrounds every handler happens here, in the order listed in the folder's front page. A
//! connection is a task of the async runtime that owns its requests: when it ends, for whatever
//! reason, the handlers' futures are dropped, and with them the calls they wait for. It must not
//! know URLs.

use super::error::Context;
use super::id::X_REQUEST_ID;
use super::socket::Socket;
use super::{Gateway, compress, routes};
use crate::error::{Error, Kind};
use crate::limits;
use axum::Router;
use axum::body::Body;
use axum::http::header::ACCEPT_ENCODING;
use axum::http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
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
const HEADER_FACTOR: usize = 2;

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
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            _ = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            stream = accept(&listener), if connections.len() < gateway.settings.connections_max => {
                let linger = Arc::new(AtomicBool::new(false));
                let socket = Socket::new(stream, gateway.settings.write_timeout, Arc::clone(&linger));
                let edge = Edge { gateway: Arc::clone(&gateway), router: router.clone(), linger };
                let edge = Arc::new(edge);
                let service = service_fn(move |request| respond(Arc::clone(&edge), request));
                let connection = graceful.watch(http.serve_connection(socket, service));
                connections.spawn(async move {
                    if let Err(cause) = connection.await {
                        tracing::debug!(cause = format!("{:#}", anyhow::Error::from(cause)), "a connection broke");
                    }
                });
            }
        }
    }
    drop(listener);
    tracing::debug!(connections = connections.len(), "closing connections");
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
    Ok(())
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
async fn accept(listener: &TcpListener) -> TcpStream {
    let mut pause = PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for the client's acknowledgements. It fails only on
                // a connection that is gone already, which reading will tell.
                let _ = stream.set_nodelay(true);
                return stream;
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
    linger: Arc<AtomicBool>,
}

/// One request: its id, its header's bound, the handler, compression, and the id again.
async fn respond(edge: Arc<Edge>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let call = edge.gateway.ids.of(request.headers());
    let accepted = request.headers().get(ACCEPT_ENCODING).cloned();
    let has_body = !request.body().is_end_stream();
    let header_bytes = header_bytes(&request);
    let response = if header_bytes > edge.gateway.settings.header_bytes_max {
        Context::of(&call).respond(&headers_too_large(header_bytes, edge.gateway.settings.header_bytes_max))
    } else {
        request.extensions_mut().insert(call.clone());
        match edge.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    // A refused body may still be on its way; see `socket.rs`.
    edge.linger.store(has_body && !response.status().is_success(), Ordering::Relaxed);
    let mut response = compress::apply(accepted, response).await;
    if let Some(id) = call.header() {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    Ok(response)
}

fn header_bytes(request: &Request<Incoming>) -> usize {
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
