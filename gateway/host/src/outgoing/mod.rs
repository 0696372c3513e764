//! Outgoing HTTP of a guest: where it may go, within which bounds.
//!
//! The hook behind `wasi:http/outgoing-handler` (0.2) and `wasi:http/client` (0.3). A request is
//! checked against the grants, its name looked up, each address checked (`address.rs`), and exactly a
//! checked address connected to (`connect.rs`), so that a name which changes its mind between check
//! and use gains nothing. One connection per request; the exchange itself is `exchange.rs`. Redirects
//! are the guest's to follow, as a request that is checked like any other. Knows no manifest.

mod address;
mod connect;
mod exchange;
mod watch;

pub(crate) use address::is_public;
pub(crate) use connect::look_up;
pub use watch::{Watch, Watched};

use crate::grants::{Grants, Refusal, Refused, Target};
use exchange::Timeouts;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, Uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Default and maximum of each of a request's time-outs. A guest may ask for less.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Connections one run may hold at once: far above what a guest written in blocking style uses, far
/// below what a process has of file descriptors.
const CONNECTIONS_MAX: usize = 32;

/// Bytes of a request's header fields; servers commonly take 8 to 64 KiB.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Bytes of a request's path and query.
const PATH_BYTES_MAX: usize = 16 << 10;

/// Bytes of a name (RFC 1035).
const NAME_BYTES_MAX: usize = 253;

/// Bytes of each of its labels.
const LABEL_BYTES_MAX: usize = 63;

/// Header fields that belong to one connection, which is ours.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Rest of an exchange once the response's head is there.
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

type Answer = Result<(Response<WasiBody>, Io), Error>;

/// The outgoing side of one run.
pub(crate) struct Outgoing {
    grants: Arc<Grants>,
    refused: Refused,
    /// Free connections; made with the first request.
    free: Option<Arc<Semaphore>>,
    watch: Option<Arc<dyn Watch>>,
}

impl Outgoing {
    pub(crate) fn new(grants: Arc<Grants>, refused: Refused) -> Self {
        Self { grants, refused, free: None, watch: None }
    }

    /// Tells of each request from now on.
    pub(crate) fn watch(&mut self, watch: Arc<dyn Watch>) {
        self.watch = Some(watch);
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let (mut head, body) = request.into_parts();
        let watched = self.watch.as_ref().map(|watch| watch.begins(&mut head));
        let checked = check(&self.grants, &self.refused, Request::from_parts(head, body));
        let free = self.free.get_or_insert_with(|| Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        let permit = Arc::clone(free).try_acquire_owned();
        let (grants, refused) = (Arc::clone(&self.grants), self.refused.clone());
        Box::new(async move {
            let answer = async move {
                let (peer, request) = checked?;
                let permit = permit.map_err(|_| Error::ConnectionLimitReached)?;
                let timeouts = timeouts(options);
                let by = Instant::now() + timeouts.connect;
                let stream = connect::connect(&peer, by, &grants, &refused).await?;
                exchange::exchange(stream, request, timeouts, by, permit).await
            };
            watch::follow(answer.await, watched)
        })
    }
}

/// Where a request goes.
struct Peer {
    host: PeerHost,
    port: u16,
    tls: bool,
}

enum PeerHost {
    Name(String),
    /// Granted by this address.
    Address(IpAddr),
}

impl Peer {
    fn default_port(&self) -> u16 {
        default_port(self.tls)
    }

    /// Whether a request to a granted name may go to this address.
    fn allows(&self, grants: &Grants, address: SocketAddr) -> bool {
        let granted =
            |target: &Target| target.covers_address(address.ip(), address.port(), self.default_port());
        is_public(address.ip()) || grants.http.iter().any(granted)
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn timeouts(options: Option<RequestOptions>) -> Timeouts {
    let options = options.unwrap_or_default();
    let capped = |wanted: Option<Duration>| wanted.unwrap_or(TIMEOUT_MAX).min(TIMEOUT_MAX);
    Timeouts {
        connect: capped(options.connect_timeout),
        first_byte: capped(options.first_byte_timeout),
        between_bytes: capped(options.between_bytes_timeout),
    }
}

/// Checks a request against the grants, and makes it one that can go onto the wire.
fn check(
    grants: &Grants,
    refused: &Refused,
    request: Request<WasiBody>,
) -> Result<(Peer, Request<WasiBody>), Error> {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        // A tunnel would lead to where no grant is checked.
        return Err(Error::HttpRequestMethodInvalid);
    }
    let peer = peer(&parts.uri)?;
    let default_port = peer.default_port();
    let granted = match &peer.host {
        PeerHost::Name(name) => {
            grants.http.iter().any(|target| target.covers_name(name, peer.port, default_port))
        }
        PeerHost::Address(address) => {
            grants.http.iter().any(|target| target.covers_address(*address, peer.port, default_port))
        }
    };
    if !granted {
        let host = parts.uri.host().unwrap_or_default().to_owned();
        refused.note(Refusal::Http { host, port: peer.port, default_port: peer.port == default_port });
        return Err(Error::HttpRequestDenied);
    }
    strip(&mut parts.headers);
    parts.headers.insert(header::HOST, host_header(&parts.uri, &peer)?);
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(Error::HttpRequestHeaderSectionSize(u32::try_from(bytes).ok()));
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if path.len() > PATH_BYTES_MAX {
        return Err(Error::HttpRequestUriTooLong);
    }
    // The form for a server; the one with scheme and host is for proxies.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    parts.uri = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok((peer, Request::from_parts(parts, body)))
}

/// Reads where a URI leads.
fn peer(uri: &Uri) -> Result<Peer, Error> {
    let tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(Error::HttpProtocolError),
    };
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    if authority.as_str().contains('@') {
        // Credentials have no place in a URI, and "http://granted@elsewhere" is made to be misread.
        return Err(Error::HttpRequestUriInvalid);
    }
    // A port that is none reads as no port.
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port = match after_host {
        "" => default_port(tls),
        _ => authority.port_u16().filter(|port| *port > 0).ok_or(Error::HttpRequestUriInvalid)?,
    };
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = match literal.parse::<IpAddr>() {
        Ok(address) => PeerHost::Address(address),
        Err(_) => PeerHost::Name(name(host).ok_or(Error::HttpRequestUriInvalid)?),
    };
    Ok(Peer { host, port, tls })
}

/// A host's name as grants spell it; `None` if it can be none.
pub(crate) fn name(host: &str) -> Option<String> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (name.len() <= NAME_BYTES_MAX && name.split('.').all(label)).then_some(name)
}

fn host_header(uri: &Uri, peer: &Peer) -> Result<HeaderValue, Error> {
    let host = uri.host().unwrap_or_default();
    let text =
        if peer.port == peer.default_port() { host.to_owned() } else { format!("{host}:{}", peer.port) };
    HeaderValue::from_str(&text).map_err(|_| Error::HttpRequestUriInvalid)
}

/// Removes what belongs to one connection, also what `Connection` itself names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Option<(String, u16, bool)> {
        let peer = peer(&uri.parse().ok()?).ok()?;
        let host = match peer.host {
            PeerHost::Name(name) => name,
            PeerHost::Address(address) => address.to_string(),
        };
        Some((host, peer.port, peer.tls))
    }

    #[test]
    fn a_uri_is_read_as_it_will_be_connected_to() {
        assert_eq!(read("https://API.Example.com/x"), Some(("api.example.com".to_owned(), 443, true)));
        assert_eq!(read("http://example.com.:8080/"), Some(("example.com".to_owned(), 8080, false)));
        assert_eq!(read("http://127.0.0.1/"), Some(("127.0.0.1".to_owned(), 80, false)));
        assert_eq!(read("http://[::1]:81/"), Some(("::1".to_owned(), 81, false)));
        for bad in [
            "http://user:secret@example.com/",
            "http://example.com:0/",
            "http://example.com:/",
            "http://example.com:99999/",
            "ftp://example.com/",
            "http://ex%61mple.com/",
            "http://a..b/",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_belongs_to_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "x-secret, close"), ("x-secret", "1"), ("te", "trailers"), ("accept", "*/*")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_guest_gets_no_longer_time_outs_than_ours() {
        let asked = RequestOptions {
            connect_timeout: Some(Duration::from_secs(600)),
            first_byte_timeout: Some(Duration::from_millis(5)),
            between_bytes_timeout: None,
        };
        let timeouts = timeouts(Some(asked));
        assert_eq!(timeouts.connect, TIMEOUT_MAX);
        assert_eq!(timeouts.first_byte, Duration::from_millis(5));
        assert_eq!(timeouts.between_bytes, TIMEOUT_MAX);
    }
}
