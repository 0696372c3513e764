//! One `GET /state` after the other, over HTTP or HTTPS.
//!
//! A connection for each, so that a gateway which was restarted is found again. What the document means
//! is not known here.

use super::state::State;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// How long one look may take: longer, and the gateway counts as gone.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest document: 1,000 tasks with their history take about 1 MiB.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Where the state comes from.
pub struct Source {
    url: Url,
    token: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    tokio: tokio::runtime::Runtime,
}

impl Source {
    /// Reads what a connection needs. Nothing is sent yet.
    ///
    /// # Errors
    /// The address is none, or a file cannot be read.
    pub fn open(url: &str, token: Option<&Path>, ca: Option<&Path>) -> Result<Self, String> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let base = Url::parse(&with_scheme)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(mut base) = base else {
            return Err(format!(
                "found {url:?}, expected the gateway's address, such as http://127.0.0.1:8888"
            ));
        };
        base.set_path("/state");
        base.set_query(None);
        let token = token.map(|path| {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            Ok::<_, String>(text.trim().to_owned())
        });
        let tls = (base.scheme() == "https").then(|| trusting(ca));
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("the async runtime cannot be started: {error}"))?;
        Ok(Self { url: base, token: token.transpose()?, tls: tls.transpose()?, tokio })
    }

    /// The gateway, for a title.
    pub fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Takes one look.
    ///
    /// # Errors
    /// Why there is nothing to see, and what to do about it.
    pub fn fetch(&self) -> Result<State, String> {
        let looked = async {
            match tokio::time::timeout(TIMEOUT, self.look()).await {
                Ok(looked) => looked,
                Err(_) => Err(format!("{} did not answer within {} s", self.shown(), TIMEOUT.as_secs())),
            }
        };
        self.tokio.block_on(looked)
    }

    async fn look(&self) -> Result<State, String> {
        let (host, port) = (self.url.host_str().unwrap_or_default(), self.url.port_or_known_default());
        let address = (host.trim_matches(['[', ']']), port.unwrap_or(80));
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("{} cannot be reached: {error}; is it running?", self.shown()))?;
        match &self.tls {
            None => self.ask(stream).await,
            Some(config) => {
                let name = ServerName::try_from(address.0.to_owned())
                    .map_err(|_| format!("found the host {host:?}, expected a name or an address"))?;
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name, stream).await.map_err(|error| {
                    format!(
                        "no TLS with {}: {error}; a certificate of your own is trusted with --ca FILE",
                        self.shown()
                    )
                })?;
                self.ask(stream).await
            }
        }
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<State, String> {
        let broken = |error: hyper::Error| format!("{} is no gateway: {error}", self.shown());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the request.
        let driver = tokio::spawn(connection);
        let authority = self.url.authority().rsplit('@').next().unwrap_or_default();
        let mut request = Request::get(self.url.path()).header(HOST, authority);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|_| "the token's file holds more than a token".to_owned())?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
        driver.abort();
        let body = body.map_err(|error| format!("{} broke off: {error}", self.shown()))?.to_bytes();
        match status {
            200 => serde_json::from_slice(&body).map_err(|error| {
                format!("{} is no gateway, or one of another version: {error}", self.shown())
            }),
            401 | 403 => Err(format!(
                "{} answered {status}: give a token of the scope read with --token FILE (unblock token create --scope read)",
                self.shown()
            )),
            _ => Err(format!("{} answered {status}, expected 200; is it an unblock gateway?", self.shown())),
        }
    }
}

/// TLS that trusts the roots of a file, or the usual ones.
fn trusting(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unread = |error| format!("--ca: {} holds no certificates in PEM: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
                let certificate = certificate.map_err(unread)?;
                roots.add(certificate).map_err(|error| format!("--ca: {}: {error}", path.display()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
