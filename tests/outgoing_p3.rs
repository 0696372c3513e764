//! Outgoing HTTP of a WASI 0.3 guest, `wasi:http/client`: the same rules as for 0.2 (`outgoing.rs`).
//!
//! The guest `http-p3` asks a server of the test's own and answers with what it got, or with its error.

use crate::support::upstream::{BIG, Upstream};
use crate::support::{Gateway, Reply, Server, client, eventually, guest, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn server_with(limits: &str, http: &[String]) -> Server {
    let manifest = format!("[limits]\n{limits}\n[grants]\nhttp = {}\n", json!(http));
    Gateway::new().file("guest.wasm", guest("http-p3")).manifest("guest", &manifest).start()
}

/// A gateway with the guest, granted `http`.
fn granted(http: &[String]) -> Server {
    server_with("wall = \"20s\"", http)
}

/// The URL by which the guest asks `authority`.
fn path(behaviour: &str, authority: &str, asked: &str) -> String {
    format!("/tasks/guest/{behaviour}?authority={authority}&path={asked}")
}

async fn fetch(server: &Server, authority: &str, asked: &str) -> Reply {
    server.get(&path("fetch", authority, asked)).await
}

/// The error that the guest got and passed on, and the hints beside it.
#[track_caller]
fn refused(reply: &Reply) -> (String, String) {
    let problem = reply.problem(502, "bad-response");
    let hints: Vec<&str> =
        problem["hints"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    (problem["detail"].as_str().unwrap().to_owned(), hints.join("\n"))
}

#[tokio::test]
async fn a_guest_of_0_3_reaches_a_granted_address_and_bodies_stream_both_ways() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let server = granted(std::slice::from_ref(&address));
    assert_eq!(fetch(&server, &address, "/hello").await.ok(), "hello");
    // The host connects the caller's body with the upstream's, and back.
    let upload = client().post(server.url(&path("fetch", &address, "/upload"))).body(vec![b'x'; 4 << 20]);
    assert_eq!(server.send(upload).await.ok(), (4 << 20).to_string());
    let big = fetch(&server, &address, "/big").await;
    assert!(big.status == 200 && big.body.len() == BIG && big.body.iter().all(|byte| *byte == b'y'));
    // Written and read by the guest itself.
    let own = server.get(&format!("{}&bytes={}", path("upload", &address, "/upload"), 4 << 20)).await;
    assert_eq!(own.ok(), (4 << 20).to_string());
    assert_eq!(server.get(&path("measure", &address, "/big")).await.ok(), format!("{BIG}\n"));
    eventually("the connections are closed", || upstream.open() == 0);
}

#[tokio::test]
async fn what_a_guest_of_0_3_was_not_granted_is_refused_with_the_line_to_write() {
    let upstream = Upstream::start();
    let port = upstream.address.port();
    let server = granted(&[format!("localhost:{port}"), format!("*:{port}")]);
    let (code, hints) = refused(&fetch(&server, &upstream.address.to_string(), "/hello").await);
    assert!(code.contains("HttpRequestDenied"), "{code}");
    assert!(hints.contains(&format!("add \"{}\" to http under [grants]", upstream.address)), "{hints}");
    // A granted name that leads to this machine, and addresses in disguise.
    let (code, hints) = refused(&fetch(&server, &format!("localhost:{port}"), "/hello").await);
    assert!(code.contains("DestinationIpProhibited"), "{code}");
    assert!(hints.contains("must be granted by itself"), "{hints}");
    for host in ["127.1", "2130706433", "0x7f000001"] {
        let (code, _) = refused(&fetch(&server, &format!("{host}:{port}"), "/hello").await);
        assert!(code.contains("DestinationIpProhibited") || code.contains("DnsError"), "{host}: {code}");
    }
    assert!(upstream.heads().is_empty(), "nothing was sent");
    // With its address granted, the name does.
    let server = granted(&[format!("localhost:{port}"), format!("127.0.0.1:{port}")]);
    assert_eq!(fetch(&server, &format!("localhost:{port}"), "/hello").await.ok(), "hello");
}

#[tokio::test]
async fn a_guest_of_0_3_sends_clean_requests_only() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let server = granted(std::slice::from_ref(&address));
    let with = async |name: &str, value: &str| {
        server.get(&format!("{}&name={name}&value={value}", path("fetch", &address, "/fields"))).await
    };
    let fields = with("x-mine", "1").await;
    assert_eq!((fields.status, fields.header("x-kept")), (200, Some("2")));
    assert_eq!((fields.header("x-hop"), fields.header("keep-alive")), (None, None));
    let head = upstream.heads().pop().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /fields http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")) && head.contains("x-mine: 1\r\n"), "{head}");
    for (name, value) in [
        ("connection", "x-mine"),
        ("host", "other.example"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
    ] {
        let (code, _) = refused(&with(name, value).await);
        assert!(code.contains("orbidden"), "{name}: {code}");
    }
    let (code, _) = refused(&fetch(&server, &format!("granted.example@{address}"), "/hello").await);
    assert!(code.contains("HttpRequestUriInvalid") || code.contains("was refused"), "{code}");
    let (code, _) = refused(&server.get(&format!("{}&scheme=ftp", path("fetch", &address, "/hello"))).await);
    assert!(code.contains("HttpProtocolError"), "{code}");
    let (code, _) = refused(&server.get(&format!("{}&method=CONNECT", path("fetch", &address, "/"))).await);
    assert!(code.contains("HttpRequestMethodInvalid"), "{code}");
    assert_eq!(upstream.heads().len(), 1, "nothing else was sent");
}

#[tokio::test]
async fn what_a_server_does_wrong_has_its_code_for_a_guest_of_0_3() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let server = granted(std::slice::from_ref(&address));
    for (asked, expected) in [
        ("/nonsense", "HttpProtocolError"),
        ("/long-head", "HttpResponseHeaderSectionSize"),
        ("/switch", "HttpUpgradeFailed"),
    ] {
        let (code, _) = refused(&fetch(&server, &address, asked).await);
        assert!(code.contains(expected), "{asked}: {code}");
    }
    // Within the body: told to a guest that reads it, and to the caller of one that passes it on.
    let told = server.get(&path("measure", &address, "/cut")).await.ok();
    assert!(told.starts_with("4, then ") && told.contains("ConnectionTerminated"), "{told}");
    let broken = client().get(server.url(&path("fetch", &address, "/cut"))).send().await.unwrap();
    assert_eq!(broken.status(), 200);
    assert!(broken.bytes().await.is_err(), "a body that broke off looks complete");
}

#[tokio::test]
async fn waiting_of_a_guest_of_0_3_ends_by_time_out_or_with_its_run() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let server = server_with("wall = \"2s\"", std::slice::from_ref(&address));
    let begin = Instant::now();
    let silent = server.get(&format!("{}&first-byte=200", path("measure", &address, "/silent"))).await;
    let (code, _) = refused(&silent);
    assert!(code.contains("ConnectionReadTimeout"), "{code}");
    let stalled = format!("{}&between-bytes=200", path("measure", &address, "/stalled-body"));
    let told = server.get(&stalled).await.ok();
    assert!(told.starts_with("4, then ") && told.contains("ConnectionReadTimeout"), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    eventually("the connections are closed", || upstream.open() == 0);
    // Without time-outs of its own: the run's budget.
    server.get(&path("measure", &address, "/silent")).await.problem(504, "deadline-exceeded");
    eventually("the connection is closed", || upstream.open() == 0);
    let request = client().get(server.url(&path("fetch", &address, "/silent")));
    let asked = tokio::spawn(request.send());
    until("the guest is connected", async || upstream.open() == 1).await;
    asked.abort();
    // Not `eventually`: it would keep this thread from hanging up.
    until("the connection is closed", async || upstream.open() == 0).await;
    until("nothing runs", async || server.pool().permits == 0).await;
}

#[tokio::test]
async fn a_run_of_0_3_holds_a_bounded_number_of_connections() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let server = granted(std::slice::from_ref(&address));
    let crowd = |requests: usize| format!("{}&requests={requests}", path("crowd", &address, "/silent"));
    let (code, _) = refused(&server.get(&crowd(33)).await);
    assert!(code.contains("ConnectionLimitReached"), "{code}");
    // With one that never saw the others.
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let server = granted(std::slice::from_ref(&address));
    let all = format!("{}&requests=32", path("crowd", &address, "/silent"));
    let asked = tokio::spawn(client().get(server.url(&all)).send());
    until("all are connected", async || upstream.open() == 32).await;
    asked.abort();
    until("the connections are closed", async || upstream.open() == 0).await;
    assert_eq!(upstream.peak(), 32);
}
