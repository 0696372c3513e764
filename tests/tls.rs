//! TLS and HTTP/2: what is agreed on, a certificate that changes, and streams that bodies, trailers and
//! hang-ups go through as they do over HTTP/1.

use crate::access::Tokens;
use crate::support::process::{Ended, run};
use crate::support::{Gateway, PATIENCE, Server, guest, until};
use bytes::Bytes;
use futures_util::StreamExt as _;
use gateway::tls::Files;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Sent = BoxBody<Bytes, Infallible>;

/// A certificate of its own for localhost, in files.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let certificate = Self { folder: tempfile::tempdir().unwrap() };
        certificate.renew();
        certificate
    }

    /// Makes another one in its place. Returns what a client knows it by.
    fn renew(&self) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| {
            let new = self.folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.folder.path().join(name)).unwrap();
        };
        write("key.pem", made.signing_key.serialize_pem());
        write("chain.pem", made.cert.pem());
        made.cert.der().to_vec()
    }

    fn files(&self) -> Files {
        let path = |name: &str| self.folder.path().join(name);
        Files { chain: path("chain.pem"), key: path("key.pem") }
    }

    fn secure(&self, gateway: Gateway) -> Gateway {
        let files = self.files();
        gateway.set(move |config| config.tls = Some(files))
    }
}

/// Takes any certificate: what is tested is what the server does.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A connection on which one of `protocols` is spoken.
async fn connect(server: &Server, protocols: &[&str]) -> TlsStream<TcpStream> {
    connect_cuttable(server, protocols).await.0
}

/// The same, with a second hand on the socket.
async fn connect_cuttable(
    server: &Server,
    protocols: &[&str],
) -> (TlsStream<TcpStream>, std::net::TcpStream) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.app().address()).await.unwrap().into_std().unwrap();
    let hand = stream.try_clone().unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    (TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap(), hand)
}

/// A client of HTTP/2.
struct Client {
    sender: http2::SendRequest<Sent>,
    server: std::net::SocketAddr,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
    hand: std::net::TcpStream,
}

impl Client {
    async fn of(server: &Server) -> Self {
        Self::with_window(server, None).await
    }

    /// One that takes only so much of a response before it is read.
    async fn with_window(server: &Server, window: Option<u32>) -> Self {
        let (stream, hand) = connect_cuttable(server, &["h2"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        Self { sender, server: server.app().address(), connection: tokio::spawn(connection), hand }
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("https://{}{path}", self.server))
    }

    async fn send(&mut self, request: Request<Sent>) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        tokio::time::timeout(PATIENCE, self.sender.send_request(request)).await.expect("an answer").unwrap()
    }

    async fn get(&mut self, path: &str) -> Response<Incoming> {
        let request = self.request("GET", path).header("te", "trailers").body(empty()).unwrap();
        self.send(request).await
    }
}

fn empty() -> Sent {
    Empty::new().boxed()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned()
}

async fn calm(server: &Server) {
    until("the end of every run", async || server.pool().permits == 0).await;
}

fn guests() -> Gateway {
    Gateway::new()
        .sample("sleep")
        .file("http.wasm", guest("http-p3"))
        .file("cgi.wasm", guest("command"))
        .manifest("cgi", "interface = \"cgi\"\n")
        .manifest("http", "[limits]\nwall = \"20s\"\n")
}

#[tokio::test]
async fn client_and_server_choose_between_both_versions_of_http() {
    let certificate = Certificate::new();
    let server = certificate.secure(guests()).start();
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = connect(&server, protocols).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains("Hello, world"), "{reply}");
    }
    let mut client = Client::of(&server).await;
    let response = client.get("/tasks").await;
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
    assert!(response.headers().contains_key("x-request-id"));
    assert!(text(client.get("/sleep/0.01").await).await.starts_with("Awake!"));
    // A guest learns whom the client asked, and how.
    let told = text(client.get("/tasks/http/tell?x=1").await).await;
    assert!(told.contains("x=1") && told.contains("Https"), "{told}");
    assert!(told.contains(&server.app().address().to_string()), "{told}");

    // In clear nothing is served there, and the next client does not suffer.
    let mut plain = TcpStream::connect(server.app().address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    plain.read_to_end(&mut reply).await.unwrap();
    assert!(!reply.starts_with(b"HTTP/"), "{reply:?}");
    assert_eq!(Client::of(&server).await.get("/livez").await.status(), 200);
}

#[tokio::test]
async fn many_requests_share_a_connection_and_none_waits_for_another() {
    let certificate = Certificate::new();
    let server = certificate.secure(guests()).start();
    let client = Client::of(&server).await;
    let slow = client.request("GET", "/sleep/2").body(empty()).unwrap();
    let mut sender = client.sender.clone();
    let slow = tokio::spawn(async move { text(sender.send_request(slow).await.unwrap()).await });
    let begun = Instant::now();
    let quick = (0..100).map(|_| {
        let (mut sender, request) =
            (client.sender.clone(), client.request("GET", "/sleep/0").body(empty()).unwrap());
        async move { text(sender.send_request(request).await.unwrap()).await }
    });
    for answer in futures_util::future::join_all(quick).await {
        assert!(answer.starts_with("Awake!"), "{answer}");
    }
    assert!(!slow.is_finished() || begun.elapsed() > Duration::from_secs(2));
    assert!(slow.await.unwrap().starts_with("Awake!"));
}

#[tokio::test]
async fn bodies_and_trailers_go_through_streams() {
    let certificate = Certificate::new();
    let server = certificate.secure(guests()).start();
    let mut client = Client::of(&server).await;
    let piece = Bytes::from(vec![b'x'; 100_000]);
    let pieces = futures_util::stream::iter(vec![piece.clone(); 100]).map(|piece| Ok(Frame::data(piece)));
    let request =
        client.request("POST", "/tasks/http/echo").body(BodyExt::boxed(StreamBody::new(pieces))).unwrap();
    let echoed = client.send(request).await.into_body().collect().await.unwrap().to_bytes();
    assert!(echoed.len() == 100 * piece.len() && echoed.iter().all(|byte| *byte == b'x'));

    let collected = client.get("/tasks/http/trailers").await.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "4");
    assert_eq!(&*collected.to_bytes(), b"body\n");

    // The head comes before the body is there.
    let begun = Instant::now();
    let response = client.get("/tasks/http/first-byte?ms=1500").await;
    assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
    assert!(!text(response).await.is_empty() && begun.elapsed() >= Duration::from_millis(1_400));

    // What breaks off does not look whole.
    let request = client.request("GET", "/tasks/http/trap-after?bytes=70000").body(empty()).unwrap();
    assert!(client.send(request).await.into_body().collect().await.is_err());
    calm(&server).await;
}

#[tokio::test]
async fn a_client_that_resets_its_stream_or_goes_stops_its_run_and_no_other() {
    let certificate = Certificate::new();
    let server = certificate.secure(guests()).start();
    for path in ["/sleep/50", "/tasks/http/flood", "/tasks/http/loop-before", "/tasks/http/loop-after"] {
        let mut client = Client::of(&server).await;
        let request = client.request("GET", path).body(empty()).unwrap();
        let asked = tokio::spawn(client.sender.send_request(request));
        until("its run", async || server.pool().permits == 1).await;
        // The stream alone is reset.
        asked.abort();
        drop(asked.await);
        calm(&server).await;
        assert_eq!(client.get("/livez").await.status(), 200, "the connection goes on after {path}");

        let request = client.request("GET", path).body(empty()).unwrap();
        let asked = tokio::spawn(client.sender.send_request(request));
        until("its run", async || server.pool().permits == 1).await;
        // The whole connection is gone.
        client.hand.shutdown(std::net::Shutdown::Both).unwrap();
        drop(asked);
        calm(&server).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_one_response_is_cut_off_and_an_idle_one_is_let_go() {
    let certificate = Certificate::new();
    let gateway = certificate.secure(guests()).set(|config| {
        config.http.write_timeout = Duration::from_millis(300);
        config.http.header_timeout = Duration::from_millis(600);
    });
    let server = gateway.start();
    let mut client = Client::with_window(&server, Some(1_000)).await;
    let response = client.get("/tasks/http/flood").await;
    assert_eq!(response.status(), 200);
    // Nothing of the body is read; the guest must not run for ever.
    calm(&server).await;
    drop(response);

    // A guest that pauses is no client that does.
    let mut client = Client::of(&server).await;
    assert!(!text(client.get("/tasks/http/first-byte?ms=1200").await).await.is_empty());
    let ended = tokio::time::timeout(PATIENCE, client.connection).await.expect("the idle connection's end");
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_goes_on_gets_a_large_response_whole() {
    let certificate = Certificate::new();
    let write_timeout = Duration::from_millis(1_500);
    let gateway =
        certificate.secure(Gateway::new()).set(move |config| config.http.write_timeout = write_timeout);
    let server = gateway.start();
    let mut client = Client::with_window(&server, Some(10_000)).await;
    let begun = Instant::now();
    let response = client.get("/docs/swagger-ui-bundle.js").await;
    let stated: u64 = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = response.into_body();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap().len() as u64;
        seen += piece;
        // 400 KB/s, in whatever pieces it comes.
        tokio::time::sleep(Duration::from_nanos(2_500 * piece)).await;
    }
    assert_eq!(seen, stated);
    assert!(begun.elapsed() > 2 * write_timeout, "too fast to tell: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let certificate = Certificate::new();
    // Long enough not to be what ends it.
    let patient =
        |config: &mut gateway::config::Config| config.http.header_timeout = Duration::from_secs(600);
    let server = certificate.secure(guests()).set(patient).start();
    let mut stream = connect(&server, &["h2"]).await;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    };
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    // GET https / with authority "x", by the static table; then its reset.
    let head = [0x82, 0x87, 0x84, 0x41, 0x01, b'x'];
    for n in 0..5_000u32 {
        sent.extend(frame(1, 0x5, 2 * n + 1, &head));
        sent.extend(frame(3, 0, 2 * n + 1, &8u32.to_be_bytes()));
    }
    // It closes before it has read everything.
    let _ = stream.write_all(&sent).await;
    let mut reply = Vec::new();
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.expect("the connection's end");
    // What a GOAWAY says, if it came before the connection was closed.
    let mut rest = reply.as_slice();
    while let [a, b, c, kind, _, _, _, _, _, body @ ..] = rest {
        let payload = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == 7 && body.len() >= 8 {
            assert_eq!(body[4..8], 11u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
        }
        rest = body.get(payload..).unwrap_or_default();
    }
    assert_eq!(Client::of(&server).await.get("/livez").await.status(), 200);
}

#[tokio::test]
async fn headers_have_the_same_bounds_and_slow_bodies_the_same_end() {
    let certificate = Certificate::new();
    let gateway =
        certificate.secure(guests()).set(|config| config.http.body_timeout = Duration::from_millis(200));
    let server = gateway.start();
    let mut client = Client::of(&server).await;
    let request =
        client.request("GET", "/livez").header("x-large", "x".repeat(70_000)).body(empty()).unwrap();
    assert_eq!(client.send(request).await.status(), 431);
    let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let request = client.request("POST", "/tasks/sleep/sleep").header("content-type", "application/json");
    let request = request.body(BodyExt::boxed(StreamBody::new(never))).unwrap();
    assert_eq!(client.send(request).await.status(), 408);
    let request =
        client.request("POST", "/tasks/sleep/sleep").body(Full::from(&b"nonsense"[..]).boxed()).unwrap();
    assert!(client.send(request).await.status().is_client_error());
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let certificate = Certificate::new();
    let server = certificate.secure(Gateway::new()).start();
    let shown = async || {
        let stream = connect(&server, &["h2"]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let mut open = Client::of(&server).await;
    let first = shown().await;
    let renewed = certificate.renew();
    assert_ne!(first, renewed);
    until("the new certificate", async || shown().await == renewed).await;
    assert_eq!(open.get("/livez").await.status(), 200, "who was there stays");
    std::fs::write(&certificate.files().key, "no key").unwrap();
    let last = certificate.folder.path().join("chain.pem");
    std::fs::write(last, "no certificate").unwrap();
    // More than one look at the files later.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(shown().await, renewed);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let certificate = Certificate::new();
    let gateway = certificate
        .secure(Gateway::new())
        .set(|config| config.http.header_timeout = Duration::from_millis(300));
    let server = gateway.start();
    let mut silent = TcpStream::connect(server.app().address()).await.unwrap();
    let mut half = TcpStream::connect(server.app().address()).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    for stream in [&mut silent, &mut half] {
        let mut reply = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
        assert!(read.is_ok(), "the connection stays open");
    }
}

#[tokio::test]
async fn tokens_are_asked_for_over_http2_as_well() {
    let (certificate, tokens) = (Certificate::new(), Tokens::new());
    let token = tokens.with(&["call:http"]);
    let server = tokens.guard(certificate.secure(guests())).start();
    let mut client = Client::of(&server).await;
    assert_eq!(client.get("/tasks/http/tell").await.status(), 401);
    let request =
        client.request("GET", "/tasks/http/tell").header("authorization", format!("Bearer {token}"));
    let told = text(client.send(request.body(empty()).unwrap()).await).await;
    assert!(told.contains("x-request-id") && !told.contains("ub_"), "{told}");
}

#[test]
fn mistakes_in_certificates_are_told_before_anything_starts() {
    let certificate = Certificate::new();
    let tasks = certificate.folder.path().to_str().unwrap();
    let Files { chain, key } = certificate.files();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let start =
        |flags: &[&str]| run(&[&["serve", "--tasks", tasks, "--listen", "127.0.0.1:0"], flags].concat(), b"");
    for (flags, word) in [
        (vec!["--tls-cert", &*text(&chain)], "expected both or none"),
        (vec!["--tls-cert", &text(&key), "--tls-key", &text(&key)], "no certificate"),
        (vec!["--tls-cert", &text(&chain), "--tls-key", "/none"], "/none cannot be read"),
    ] {
        let Ended { code, stderr, .. } = start(&flags);
        assert!(code == Some(2) && stderr.contains(word), "{stderr}");
        assert!(!stderr.contains("PRIVATE"), "{stderr}");
    }
}
