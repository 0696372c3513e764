//! Outgoing HTTP of guests: only to granted hosts, never to this machine by a name, nothing endless.
//!
//! The guest `probe` makes requests over `wasi:http` 0.2 to a server of the test's own.

use crate::support::upstream::{BIG, Upstream};
use crate::support::{Gateway, Reply, Server, client, eventually, guest};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A gateway with the probe, granted `http`.
fn granted(http: &[String]) -> Server {
    let manifest = format!("[limits]\nwall = \"20s\"\n[grants]\nhttp = {}\n", json!(http));
    Gateway::new().file("probe.wasm", guest("probe")).manifest("probe", &manifest).start()
}

/// Nothing granted.
fn bare() -> Server {
    Gateway::new().file("probe.wasm", guest("probe")).start()
}

async fn fetch(server: &Server, url: &str) -> Reply {
    server.post("/tasks/probe/fetch", &json!({ "url": url }).to_string()).await
}

async fn fetch_with(server: &Server, url: &str, extra: Value) -> Reply {
    let mut all = json!({ "method": null, "headers": [], "body": null, "connect": null, "first-byte": null, "between-bytes": null });
    for (name, value) in extra.as_object().unwrap() {
        all[name] = value.clone();
    }
    server.post("/tasks/probe/fetch", &json!({ "url": url, "extra": all }).to_string()).await
}

/// The error code that the guest got, and the hints beside it.
#[track_caller]
fn refused(reply: &Reply) -> (String, String) {
    let problem = reply.problem(422, "task-error");
    let hints: Vec<&str> =
        problem["hints"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    (problem["detail"].as_str().unwrap().to_owned(), hints.join("\n"))
}

#[tokio::test]
async fn a_granted_address_is_reached_with_a_clean_request() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    let reply = fetch_with(
        &server,
        &upstream.url("/upload"),
        json!({ "method": "POST", "headers": [["x-mine", "1"], ["te", "trailers"]], "body": "text" }),
    )
    .await;
    reply.ok();
    assert_eq!((&reply.json()["status"], &reply.json()["body"]), (&json!(200), &json!("4")));
    let head = upstream.heads().pop().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /upload http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", upstream.address)), "{head}");
    assert!(head.contains("x-mine: 1\r\n") && !head.contains("\r\nte:"), "{head}");
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_the_line_to_write() {
    let upstream = Upstream::start();
    let server = bare();
    let (code, hints) = refused(&fetch(&server, &upstream.url("/hello")).await);
    assert_eq!(code, "ErrorCode::HttpRequestDenied");
    assert!(hints.contains(&format!("add \"{}\" to http under [grants]", upstream.address)), "{hints}");
    let (code, hints) = refused(&fetch(&server, "https://api.example.com/v1").await);
    assert_eq!(code, "ErrorCode::HttpRequestDenied");
    assert!(hints.contains("add \"api.example.com\" to http"), "{hints}");
    // A guest that gives up altogether is told the same.
    let reply =
        server.post("/tasks/probe/insist", &json!({ "url": upstream.url("/hello") }).to_string()).await;
    let problem = reply.problem(500, "trap");
    assert!(problem["hints"][0].as_str().unwrap().contains("to http under [grants]"), "{problem:#}");
    assert!(upstream.heads().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn a_granted_name_does_not_lead_to_this_machine() {
    let upstream = Upstream::start();
    let port = upstream.address.port();
    let server = granted(&[format!("localhost:{port}"), format!("*:{port}")]);
    let (code, hints) = refused(&fetch(&server, &format!("http://localhost:{port}/hello")).await);
    assert_eq!(code, "ErrorCode::DestinationIpProhibited");
    assert!(hints.contains("must be granted by itself"), "{hints}");
    // Addresses in disguise are names to us, and addresses to the resolver.
    for host in ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"] {
        let (code, _) = refused(&fetch(&server, &format!("http://{host}:{port}/hello")).await);
        assert!(code.contains("DestinationIpProhibited") || code.contains("DnsError"), "{host}: {code}");
    }
    // Plain addresses are never granted by a wildcard.
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"] {
        let (code, _) = refused(&fetch(&server, &format!("http://{host}:{port}/hello")).await);
        assert_eq!(code, "ErrorCode::HttpRequestDenied", "{host}");
    }
    assert!(upstream.heads().is_empty(), "nothing was sent");
    // With its address granted, the name does.
    let server = granted(&[format!("localhost:{port}"), format!("127.0.0.1:{port}")]);
    fetch(&server, &format!("http://localhost:{port}/hello")).await.ok();
}

#[tokio::test]
async fn redirects_are_the_guests_to_follow() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    let reply = fetch(&server, &upstream.url("/redirect")).await;
    reply.ok();
    assert_eq!(reply.json()["status"], 302);
    assert_eq!(upstream.heads().len(), 1);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    let body = json!({ "url": upstream.url("/upload"), "kibibytes": 4096 });
    let reply = server.post("/tasks/probe/upload", &body.to_string()).await;
    reply.ok();
    assert_eq!(reply.json()["body"], (4096 * 1024).to_string());
    let reply =
        server.post("/tasks/probe/download", &json!({ "url": upstream.url("/big") }).to_string()).await;
    assert_eq!(reply.ok(), BIG.to_string());
}

#[tokio::test]
async fn what_a_server_does_wrong_has_its_code() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    for (path, expected) in [
        ("/nonsense", "HttpProtocolError"),
        ("/long-head", "HttpResponseHeaderSectionSize"),
        ("/cut", "connection terminated"),
        ("/switch", "HttpUpgradeFailed"),
    ] {
        let (code, _) = refused(&fetch(&server, &upstream.url(path)).await);
        assert!(code.contains(expected), "{path}: {code}");
    }
    let reply = fetch(&server, &upstream.url("/fields")).await;
    reply.ok();
    let headers = reply.json()["headers"].to_string();
    assert!(headers.contains("x-kept"), "{headers}");
    assert!(!headers.contains("keep-alive") && !headers.contains("x-hop"), "{headers}");
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = granted(&[closed.to_string()]);
    let (code, _) = refused(&fetch(&server, &format!("http://{closed}/")).await);
    assert_eq!(code, "ErrorCode::ConnectionRefused");
    // TLS with somebody who speaks none, and a name that does not exist.
    let server = granted(&[upstream.address.to_string(), "no-such-host.invalid".to_owned()]);
    let (code, _) = refused(&fetch(&server, &format!("https://{}/", upstream.address)).await);
    assert!(code.contains("Tls") || code.contains("Connection"), "{code}");
    let (code, _) = refused(&fetch(&server, "https://no-such-host.invalid/").await);
    assert!(code.contains("DnsError"), "{code}");
}

#[tokio::test]
async fn time_outs_end_waiting() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    for (path, extra) in
        [("/silent", json!({ "first-byte": 200 })), ("/stalled-body", json!({ "between-bytes": 200 }))]
    {
        let begin = Instant::now();
        let (code, _) = refused(&fetch_with(&server, &upstream.url(path), extra).await);
        // While the head is waited for the guest gets a code, within the body an error of the stream.
        let told = ["ConnectionReadTimeout", "connection read timeout"];
        assert!(told.iter().any(|told| code.contains(told)), "{path}: {code}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{path}: {:?}", begin.elapsed());
    }
    eventually("the connections are closed", || upstream.open() == 0);
}

#[tokio::test]
async fn a_caller_who_goes_closes_the_runs_connections() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    let request = client()
        .post(server.url("/tasks/probe/fetch"))
        .header("content-type", "application/json")
        .body(json!({ "url": upstream.url("/silent") }).to_string())
        .timeout(Duration::from_millis(500));
    request.send().await.expect_err("nobody answers");
    assert_eq!(upstream.peak(), 1, "the guest was connected");
    eventually("the connection is closed", || upstream.open() == 0);
    eventually("nothing runs", || server.pool().permits == 0);
}

#[tokio::test]
async fn a_run_holds_a_bounded_number_of_connections() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    let body = json!({ "url": upstream.url("/silent"), "requests": 50 }).to_string();
    let request = client().post(server.url("/tasks/probe/crowd")).header("content-type", "application/json");
    request.body(body).timeout(Duration::from_secs(5)).send().await.expect_err("nobody answers");
    assert_eq!(upstream.peak(), 32);
    eventually("the connections are closed", || upstream.open() == 0);
}

#[tokio::test]
async fn a_request_that_could_mislead_is_refused() {
    let upstream = Upstream::start();
    let server = granted(&[upstream.address.to_string()]);
    for url in [
        format!("http://granted.example@{}/hello", upstream.address),
        format!("ftp://{}/hello", upstream.address),
    ] {
        let reply = fetch(&server, &url).await;
        assert_eq!(reply.status, 422, "{url}: {}", reply.text());
    }
    let (code, _) =
        refused(&fetch_with(&server, &upstream.url("/hello"), json!({ "method": "CONNECT" })).await);
    assert!(code.contains("HttpRequestMethodInvalid"), "{code}");
    let (code, _) = refused(
        &fetch_with(&server, &upstream.url("/hello"), json!({ "headers": [["host", "other.example"]] }))
            .await,
    );
    assert!(code.contains("Forbidden"), "{code}");
    assert!(upstream.heads().is_empty(), "nothing was sent");
}
