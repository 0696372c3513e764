//! From a checked request to a connection: look-up, check of every address, TCP, TLS.
//!
//! The address that is connected to is one that was checked, never the name again. What fails is told
//! in the error codes of `wasi:http`. Knows no requests.

use super::{Peer, PeerHost};
use crate::grants::{Grants, Refusal, Refused};
use rustls::pki_types::ServerName;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

/// Look-ups at once, over all runs: each holds a thread for file operations, and one that hangs cannot
/// be stopped.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Least time for one address, where several share what is left.
const ATTEMPT_MIN: Duration = Duration::from_secs(2);

/// TLS with the roots that browsers trust; made with the first request.
static TLS: LazyLock<Result<TlsConnector, rustls::Error>> = LazyLock::new(|| {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
});

/// A connection, with or without TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The addresses of a name, in the system's order of preference.
///
/// # Errors
/// Those of the system's resolver.
pub(crate) async fn look_up(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = name.to_owned();
    let permit = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let looking = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Not earlier, even if nobody waits for the answer any more: the thread was held until here.
        drop(permit);
        found
    });
    looking.await.map_err(io::Error::other)?
}

/// Connects, until `by`.
pub(super) async fn connect(
    peer: &Peer,
    by: Instant,
    grants: &Grants,
    refused: &Refused,
) -> Result<Box<dyn Duplex>, Error> {
    let addresses = match &peer.host {
        PeerHost::Address(address) => vec![SocketAddr::new(*address, peer.port)],
        PeerHost::Name(name) => {
            let found = timeout_at(by, look_up(name, peer.port)).await.map_err(|_| Error::DnsTimeout)?;
            let found = found.map_err(|error| unresolved(&error))?;
            allowed(peer, name, found, grants, refused)?
        }
    };
    let stream = tcp(&addresses, by).await?;
    // Requests are written whole; waiting to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    if !peer.tls {
        return Ok(Box::new(stream));
    }
    let name = match &peer.host {
        PeerHost::Name(name) => {
            ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?
        }
        PeerHost::Address(address) => ServerName::from(*address),
    };
    let tls = TLS.as_ref().map_err(|_| Error::ConfigurationError)?;
    match timeout_at(by, tls.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(tls_error(&error).unwrap_or(Error::ConnectionTerminated)),
        Err(_) => Err(Error::ConnectionTimeout),
    }
}

/// Those of a name's addresses that a request may go to.
fn allowed(
    peer: &Peer,
    name: &str,
    found: Vec<SocketAddr>,
    grants: &Grants,
    refused: &Refused,
) -> Result<Vec<SocketAddr>, Error> {
    let Some(first) = found.first().copied() else { return Err(Error::DestinationNotFound) };
    let allowed: Vec<SocketAddr> =
        found.into_iter().filter(|address| peer.allows(grants, *address)).take(ADDRESSES_MAX).collect();
    if allowed.is_empty() {
        refused.note(Refusal::PrivateAddress { host: name.to_owned(), address: first, http: true });
        return Err(Error::DestinationIpProhibited);
    }
    Ok(allowed)
}

/// Connects to the first address that answers; each gets its share of the time that is left.
async fn tcp(addresses: &[SocketAddr], by: Instant) -> Result<TcpStream, Error> {
    let mut failure = Error::ConnectionTimeout;
    for (index, address) in addresses.iter().enumerate() {
        let left = by.saturating_duration_since(Instant::now());
        let waiting = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = (left / waiting).max(ATTEMPT_MIN).min(left);
        match timeout(share, TcpStream::connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = unconnected(&error),
            Err(_) => failure = Error::ConnectionTimeout,
        }
    }
    Err(failure)
}

fn unresolved(error: &io::Error) -> Error {
    tracing::debug!("look-up for a guest: {error}");
    Error::DnsError { rcode: Some("the name cannot be resolved".to_owned()), info_code: None }
}

fn unconnected(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::TimedOut => Error::ConnectionTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Error::DestinationIpUnroutable
        }
        _ => {
            tracing::debug!("connecting for a guest: {error}");
            Error::DestinationUnavailable
        }
    }
}

/// What TLS says inside an error of reading or writing.
pub(super) fn tls_error(error: &io::Error) -> Option<Error> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    tracing::debug!("TLS for a guest: {error}");
    Some(match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Error::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        _ => Error::TlsProtocolError,
    })
}
