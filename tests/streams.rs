//! `wasi:http` guests, 0.2 and 0.3: what they are handed, what comes back, and what their faults do.

use crate::support::process::Program;
use crate::support::{Gateway, PATIENCE, Reply, Server, client, guest, until};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BOTH: [&str; 2] = ["http-p2", "http-p3"];

/// A server with both guests, and little patience.
fn server() -> Server {
    let limits = "[limits]\nwall = \"20s\"\ncpu = \"10s\"\nmemory = \"32MiB\"\n";
    let mut gateway = Gateway::new();
    for name in BOTH {
        gateway = gateway.file(&format!("{name}.wasm"), guest(name)).manifest(name, limits);
    }
    gateway.start()
}

/// Reads a body that may break off.
async fn body(response: reqwest::Response) -> (Vec<u8>, bool) {
    let mut stream = response.bytes_stream();
    let mut seen = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => seen.extend_from_slice(&bytes),
            Err(_) => return (seen, false),
        }
    }
    (seen, true)
}

async fn ask(server: &Server, method: &str, path: &str) -> reqwest::Response {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    client().request(method, server.url(path)).send().await.unwrap()
}

/// Waits until no run is left.
async fn calm(server: &Server) {
    until("the end of every run", async || server.pool().permits == 0).await;
}

#[tokio::test]
async fn a_guest_is_handed_the_request_as_it_came_and_writes_the_response() {
    let server = server();
    for name in BOTH {
        let told = server.json_of(name).await;
        assert_eq!(
            (told["kind"].as_str(), told["functions"].as_array().map(Vec::len)),
            (Some("http"), Some(0))
        );
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let path = format!("/tasks/{name}/a%20b/tell?x=1&y=%2F");
            let request = client()
                .request(reqwest::Method::from_bytes(method.as_bytes()).unwrap(), server.url(&path))
                .header("x-mine", "1")
                .header("connection", "x-hop")
                .header("x-hop", "1");
            let reply = server.send(request).await;
            let text = reply.ok();
            assert!(text.to_uppercase().contains(method), "{name}: {text}");
            assert!(text.contains("/a%20b/tell?x=1&y=%2F"), "{name}: {text}");
            assert!(text.contains("x-mine"), "{name}: {text}");
            assert!(text.contains(&format!("x-forwarded-prefix: /tasks/{name}")), "{name}: {text}");
            assert!(!text.contains("x-hop"), "{name}: {text}");
            assert!(reply.header("unblock-task").unwrap().starts_with(&format!("{name}@")));
            assert!(reply.header("x-request-id").is_some());
        }
        assert_eq!(server.get(&format!("/tasks/{name}/empty")).await.status, 204);
        // HEAD has the head alone, and the guest is not stopped for it.
        let head = ask(&server, "HEAD", &format!("/tasks/{name}/hello")).await;
        assert_eq!(head.status(), 200);
    }
    calm(&server).await;
    let (_, failed) = counts(&server).await;
    assert_eq!(failed, 0);
}

async fn counts(server: &Server) -> (u64, u64) {
    let mut sum = (0, 0);
    for name in BOTH {
        let told = server.json_of(name).await;
        sum.0 += told["counts"]["calls"].as_u64().unwrap();
        sum.1 += told["counts"]["errors"].as_u64().unwrap();
    }
    sum
}

#[tokio::test]
async fn bodies_flow_both_ways() {
    let server = server();
    for name in BOTH {
        let piece = Bytes::from(vec![b'x'; 100_000]);
        let pieces = futures_util::stream::iter((0..300).map({
            let piece = piece.clone();
            move |_| Ok::<_, std::io::Error>(piece.clone())
        }));
        let request = client()
            .post(server.url(&format!("/tasks/{name}/echo")))
            .body(reqwest::Body::wrap_stream(pieces));
        let response = request.send().await.unwrap();
        let (seen, whole) = body(response).await;
        assert!(whole && seen.len() == 300 * piece.len() && seen.iter().all(|byte| *byte == b'x'), "{name}");
    }
}

/// Sends bytes as they are and reads until the server closes.
async fn raw(server: &Server, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
    read.expect("the end of the connection").unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn trailers_follow_the_body_for_clients_that_take_them() {
    let server = server();
    for name in BOTH {
        let get = format!("GET /tasks/{name}/trailers HTTP/1.1\r\nhost: x\r\nte: trailers\r\n");
        let reply = raw(&server, &format!("{get}connection: te, close\r\n\r\n")).await;
        assert!(reply.contains("body\n") && reply.ends_with("0\r\nx-sum: 4\r\n\r\n"), "{name}: {reply}");
        let get = format!("GET /tasks/{name}/trailers HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let reply = raw(&server, &get).await;
        assert!(reply.ends_with("0\r\n\r\n"), "{name}: {reply}");
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_in_its_body_is_told_and_one_that_goes_stops_the_guest() {
    let server = Gateway::new()
        .file("guest.wasm", guest("http-p2"))
        .file("command.wasm", guest("command"))
        .set(|config| config.http.body_timeout = Duration::from_millis(200))
        .start();
    // A guest that fails over it is answered for; one that answers all the same has seen the error.
    for (path, status, part) in
        [("command/count", "HTTP/1.1 408 ", "request-timeout"), ("guest/sink", "HTTP/1.1 200 ", "3, then ")]
    {
        let head = format!("POST /tasks/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n");
        let reply = raw(&server, &format!("{head}connection: close\r\n\r\nabc")).await;
        assert!(reply.starts_with(status) && reply.contains(part), "{path}: {reply}");
        let mut gone = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
        gone.write_all(format!("{head}\r\nabc").as_bytes()).await.unwrap();
        drop(gone);
        calm(&server).await;
    }
}

#[tokio::test]
async fn the_head_comes_before_the_body_is_there() {
    let server = server();
    for name in BOTH {
        let start = Instant::now();
        let response = ask(&server, "GET", &format!("/tasks/{name}/first-byte?ms=1500")).await;
        assert!(start.elapsed() < Duration::from_millis(1_200), "{name}: {:?}", start.elapsed());
        let (seen, whole) = body(response).await;
        assert!(whole && !seen.is_empty() && start.elapsed() >= Duration::from_millis(1_400), "{name}");
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked_before_the_guest_answers() {
    let server = server();
    for name in BOTH {
        let mut stream = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
        // This guest answers without a look at the body.
        let head = format!("POST /tasks/{name}/first-byte?ms=1 HTTP/1.1\r\nhost: x\r\n");
        let expects = "expect: 100-continue\r\ncontent-length: 3\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("{head}{expects}").as_bytes()).await.unwrap();
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, *b"HTTP/1.1 100 Continue\r\n\r\n", "{name}");
        stream.write_all(b"abc").await.unwrap();
        let mut reply = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
        read.expect("the end of the connection").unwrap();
        assert!(reply.starts_with(b"HTTP/1.1 200 "), "{name}: {}", String::from_utf8_lossy(&reply));
        // What the client sends before it is asked is not lost.
        let early = format!("POST /tasks/{name}/sink HTTP/1.1\r\nhost: x\r\n{expects}abc");
        let reply = raw(&server, &early).await;
        assert!(reply.contains("HTTP/1.1 200 ") && reply.contains('3'), "{name}: {reply}");
    }
}

#[tokio::test]
async fn a_guest_goes_on_after_its_answer_within_its_budgets() {
    let server = server();
    for name in BOTH {
        let response = ask(&server, "GET", &format!("/tasks/{name}/linger?ms=1200")).await;
        let (_, whole) = body(response).await;
        assert!(whole);
        assert_eq!(server.pool().permits, 1, "{name}: the guest rests after its answer");
        calm(&server).await;
    }
    assert_eq!(counts(&server).await.1, 0);
}

#[tokio::test]
async fn a_guest_without_an_answer_is_a_bad_response() {
    let server = server();
    server.get("/tasks/http-p2/silent").await.problem(502, "bad-response");
    for name in BOTH {
        let problem =
            server.get(&format!("/tasks/{name}/error?kind=denied")).await.problem(502, "bad-response");
        assert!(problem["detail"].as_str().unwrap().contains("HttpRequestDenied"), "{problem:#}");
        let problem = server.get(&format!("/tasks/{name}/trap-before")).await.problem(500, "trap");
        assert!(problem["detail"].as_str().unwrap().contains("trapped before the head"), "{problem:#}");
        assert!(problem["backtrace"].as_array().is_some_and(|frames| !frames.is_empty()), "{problem:#}");
        server.get(&format!("/tasks/{name}/exit")).await.problem(502, "bad-response");
        server.get(&format!("/tasks/{name}/hungry")).await.problem(500, "memory-exceeded");
    }
}

#[tokio::test]
async fn a_guest_that_fails_after_its_head_breaks_its_body_off() {
    let server = server();
    for name in BOTH {
        for behaviour in ["trap-after?bytes=70000", "hungry-after"] {
            let response = ask(&server, "GET", &format!("/tasks/{name}/{behaviour}")).await;
            assert_eq!(response.status(), 200);
            let (_, whole) = body(response).await;
            assert!(!whole, "{name}/{behaviour}: a body that broke off looks complete");
        }
    }
    let response = ask(&server, "GET", "/tasks/http-p2/twice").await;
    assert_eq!(response.status(), 200, "the first answer was sent");
    calm(&server).await;
    assert!(counts(&server).await.1 >= 4);
}

#[tokio::test]
async fn a_loop_before_or_after_the_head_ends_at_its_budget() {
    let mut gateway = Gateway::new();
    for name in BOTH {
        // So much wall time that a busy machine does not make it the limit that is met.
        let limits = "[limits]\nwall = \"20s\"\ncpu = \"400ms\"\n";
        gateway = gateway.file(&format!("{name}.wasm"), guest(name)).manifest(name, limits);
    }
    let server = gateway.start();
    for name in BOTH {
        server.get(&format!("/tasks/{name}/loop-before")).await.problem(504, "cpu-exceeded");
        let start = Instant::now();
        let response = ask(&server, "GET", &format!("/tasks/{name}/loop-after")).await;
        let (_, whole) = body(response).await;
        assert!(!whole, "{name}: cut off");
        assert!(start.elapsed() < PATIENCE, "{name}");
    }
    calm(&server).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_guest() {
    let server = server();
    for name in BOTH {
        for behaviour in ["flood", "first-byte?ms=60000", "loop-before", "loop-after"] {
            let asked = client().get(server.url(&format!("/tasks/{name}/{behaviour}"))).send();
            let response = tokio::time::timeout(Duration::from_millis(400), asked).await;
            drop(response);
            calm(&server).await;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_slows_the_guest_down_and_nothing_piles_up() {
    let folder = tempfile::tempdir().unwrap();
    for name in BOTH {
        std::fs::write(folder.path().join(format!("{name}.wasm")), guest(name)).unwrap();
    }
    let program = Program::serve(folder.path(), &[]).await;
    for name in BOTH {
        let flood = program.url(&format!("/tasks/{name}/flood"));
        let before = program.resident_kib();
        let mut response = client().get(flood).send().await.unwrap();
        for _ in 0..20 {
            assert!(response.chunk().await.unwrap().is_some());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let grown = program.resident_kib().saturating_sub(before);
        assert!(grown < 16 << 10, "{name}: {grown} KiB more");
    }
}

#[tokio::test]
async fn a_stream_over_its_limit_is_refused_or_cut_off() {
    let limits = "[limits]\nstream = \"100KiB\"\n";
    let server = Gateway::new().file("guest.wasm", guest("http-p2")).manifest("guest", limits).start();
    let post = |body: reqwest::Body| server.send(client().post(server.url("/tasks/guest/echo")).body(body));
    post(vec![b'x'; 200 << 10].into()).await.problem(413, "input-too-large");
    assert_eq!(post(vec![b'x'; 100 << 10].into()).await.ok().len(), 100 << 10);
    let response = ask(&server, "GET", "/tasks/guest/source?bytes=1000000").await;
    let (seen, whole) = body(response).await;
    assert!(!whole && seen.len() <= 100 << 10, "{}", seen.len());
    calm(&server).await;
}

#[tokio::test]
async fn headers_of_one_connection_are_not_the_guests_to_set() {
    let server = server();
    for name in BOTH {
        for header in ["connection", "transfer-encoding", "upgrade", "keep-alive"] {
            let reply = server.get(&format!("/tasks/{name}/header?name={header}&value=close")).await;
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
            assert!(reply.text().contains("orbidden"), "{name}/{header}: {}", reply.text());
        }
        let reply = server.get(&format!("/tasks/{name}/header?name=x-fine&value=yes")).await;
        assert_eq!(reply.header("x-fine"), Some("yes"), "{name}");
        for code in [99, 1000] {
            let reply = server.get(&format!("/tasks/{name}/status?code={code}")).await;
            assert_eq!((reply.status, reply.text().trim()), (200, "refused"), "{name}: {code}");
        }
        let reply = server.get(&format!("/tasks/{name}/status?code=418")).await;
        assert_eq!(reply.status, 418, "{name}");
    }
    server.get("/tasks/http-p2/status?code=100").await.problem(502, "bad-response");
}

#[tokio::test]
async fn a_route_leads_to_the_whole_guest() {
    let manifest = "[[route]]\nmethod = \"ANY\"\npath = \"/shop/{*rest}\"\n\n[[route]]\nmethod = \"GET\"\npath = \"/shop\"\n";
    let server = Gateway::new().file("guest.wasm", guest("http-p2")).manifest("guest", manifest).start();
    let reply = server.send(client().put(server.url("/shop/a/b%2Fc/tell?x=1"))).await;
    let text = reply.ok();
    assert!(text.contains("/shop/a/b%2Fc/tell?x=1") && text.contains("Put"), "{text}");
    assert_eq!(server.get("/shop").await.status, 404, "the guest's own 404");
    server.send(client().post(server.url("/shop"))).await.problem(405, "method-not-allowed");
    // What is the gateway's below a task stays so, by every method.
    for method in ["GET", "POST", "PUT", "OPTIONS", "TRACE"] {
        for path in ["/tasks/guest/-", "/tasks/guest/-/nothing"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            server.send(client().request(method, server.url(path))).await.problem(404, "unknown-path");
        }
    }
}

#[tokio::test]
async fn calls_beyond_concurrency_wait_their_turn() {
    let limits = "[limits]\nconcurrency = 1\nqueue = 0\n";
    let server = Gateway::new().file("guest.wasm", guest("http-p2")).manifest("guest", limits).start();
    let first = ask(&server, "GET", "/tasks/guest/first-byte?ms=60000").await;
    let refused: Reply = server.get("/tasks/guest/hello").await;
    refused.problem(503, "queue-full");
    drop(first);
    calm(&server).await;
    server.get("/tasks/guest/hello").await.ok();
}
