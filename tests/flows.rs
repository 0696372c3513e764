//! Typed functions over a `stream<u8>`: the whole body of a request, of a response, or of both.

use crate::support::process::run;
use crate::support::{Gateway, PATIENCE, Server, client, guest, until};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn server() -> Server {
    let limits = "[limits]\nwall = \"20s\"\ncpu = \"10s\"\nmemory = \"32MiB\"\n";
    Gateway::new().file("flow.wasm", guest("flow")).manifest("flow", limits).start()
}

async fn calm(server: &Server) {
    until("the end of every run", async || server.pool().permits == 0).await;
}

/// A body of so many pieces, sent without its length.
fn pieces(count: usize, piece: &'static [u8]) -> reqwest::Body {
    let pieces = (0..count).map(move |_| Ok::<_, std::io::Error>(piece));
    reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
}

#[tokio::test]
async fn what_streams_is_described_and_what_cannot_is_hidden_with_its_reason() {
    let server = server();
    let told = server.json_of("flow").await;
    let signatures: Vec<&str> = told["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| function["signature"].as_str().unwrap())
        .collect();
    assert_eq!(
        signatures,
        [
            "func(body: stream<u8>) -> u64",
            "func(limit: u32, body: stream<u8>) -> result<string, string>",
            "func(body: stream<u8>) -> stream<u8>",
            "func(text: string, times: u64) -> stream<u8>",
            "func(body: stream<u8>, fail: option<string>, until: option<u64>) -> result<stream<u8>, string>",
        ]
    );
    let hidden = told["hidden"].to_string();
    assert!(hidden.contains("two streams, and a request has one body"), "{hidden}");
    assert!(hidden.contains("a stream has no JSON form"), "{hidden}");
}

#[tokio::test]
async fn a_body_flows_into_a_function_and_its_result_is_a_value() {
    let server = server();
    let piece: &[u8] = &[b'y'; 100_000];
    let request = client().post(server.url("/tasks/flow/count")).body(pieces(700, piece));
    let reply = server.send(request).await;
    assert_eq!((reply.ok().as_str(), reply.header("content-type")), ("70000000", Some("application/json")));
    assert!(reply.header("server-timing").is_some());
    assert_eq!(server.get("/tasks/flow/count").await.ok(), "0", "no body is an empty one");
    // The other parameters come from the query, whatever the body says that it is.
    let taste = |query: &str, body: &'static str| {
        let request = client().post(server.url(&format!("/tasks/flow/taste{query}")));
        server.send(request.header("content-type", "application/json").body(body))
    };
    assert_eq!(taste("?limit=3", "hello").await.ok(), "hel");
    assert_eq!(taste("?limit=3", "xyz").await.problem(422, "task-error")["value"], "\"xyz\" begins with x");
    taste("", "hello").await.problem(400, "bad-arguments");
    let form = reqwest::multipart::Form::new()
        .text("limit", "2")
        .part("file", reqwest::multipart::Part::bytes(b"form".as_slice()).file_name("f"));
    let reply = server.send(client().post(server.url("/tasks/flow/taste")).multipart(form)).await;
    assert_eq!(reply.ok(), "fo");
    calm(&server).await;
}

/// Sends 9 MB, more than the gateway's buffers hold and most of it after the answer, and reads what came.
async fn sent_past_the_answer(server: &Server, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..90 {
        stream.write_all(&[b'y'; 100_000]).await.expect("no reset while the body is sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn a_function_that_has_read_enough_answers_and_its_client_is_not_reset() {
    let server = server();
    let reply = sent_past_the_answer(&server, "/tasks/flow/taste?limit=1").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\ny"), "{reply}");
    calm(&server).await;
}

#[tokio::test]
async fn a_result_flows_out_as_the_guest_writes_it() {
    let server = server();
    let reply = server.get("/tasks/flow/repeat?text=ab&times=3").await;
    assert_eq!(
        (reply.ok().as_str(), reply.header("content-type")),
        ("ababab", Some("application/octet-stream"))
    );
    let reply = server.post("/tasks/flow/repeat", r#"{"text": "c", "times": 2}"#).await;
    assert_eq!(reply.ok(), "cc");
    let request = client().get(server.url("/tasks/flow/repeat?text=a&times=1"));
    server.send(request.header("accept", "application/json")).await.problem(406, "not-acceptable");
    server.get("/tasks/flow/repeat?text=a").await.problem(400, "bad-arguments");
    let piece: &[u8] = &[b'y'; 100_000];
    let request = client().post(server.url("/tasks/flow/upper")).body(pieces(300, piece));
    let seen = server.send(request).await;
    assert!(seen.body.len() == 30_000_000 && seen.body.iter().all(|byte| *byte == b'Y'));
    // More than anybody would buffer, to a reader that goes after the first bytes.
    let response = client().get(server.url("/tasks/flow/repeat?text=abcdefgh&times=1000000000")).send().await;
    let mut stream = response.unwrap().bytes_stream();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    calm(&server).await;
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let server = server();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let request = client().post(server.url("/tasks/flow/upper")).body(reqwest::Body::wrap_stream(body));
    let asked = tokio::spawn(request.send());
    sender.send(Ok("first")).await.unwrap();
    let response =
        tokio::time::timeout(PATIENCE, asked).await.expect("a head before the end").unwrap().unwrap();
    let mut stream = response.bytes_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), "FIRST");
    sender.send(Ok("second")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "SECOND");
    drop(sender);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_failure_before_the_stream_is_a_problem_and_one_after_it_breaks_the_body_off() {
    let server = server();
    let problem = server.get("/tasks/flow/perhaps?fail=not%20today").await.problem(422, "task-error");
    assert_eq!(problem["value"], "not today", "{problem:#}");
    assert_eq!(problem["function"], "perhaps", "{problem:#}");
    let url = server.url("/tasks/flow/perhaps?until=300000");
    let response = client().post(&url).body(pieces(10, &[b'y'; 100_000])).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "a body that broke off looks whole");
    calm(&server).await;
}

#[tokio::test]
async fn what_came_before_a_body_broke_off_arrives_though_its_client_still_sends() {
    let server = server();
    let reply = sent_past_the_answer(&server, "/tasks/flow/perhaps?until=300000").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(!reply.ends_with("0\r\n\r\n"), "a body that broke off looks whole: {reply}");
    calm(&server).await;
}

/// Sends a request as it is, goes away in the middle if it is said to, and reads what comes.
async fn raw(server: &Server, request: &str, goes: bool) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    if goes {
        stream.shutdown().await.unwrap();
    }
    let mut reply = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
    // A body that broke off may end in a reset.
    let _ = read.expect("the end of the connection");
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn a_body_that_ends_early_is_never_taken_for_a_whole_one() {
    let server = server();
    let head =
        "POST /tasks/flow/count HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n";
    let reply = raw(&server, &format!("{head}only this"), true).await;
    assert!(!reply.starts_with("HTTP/1.1 200"), "{reply}");
    calm(&server).await;
    let told = server.json_of("flow").await;
    assert_eq!((&told["counts"]["calls"], &told["counts"]["running"]), (&1.into(), &0.into()), "{told:#}");
}

#[tokio::test]
async fn a_body_over_the_stream_limit_is_refused() {
    let manifest = "[limits]\nstream = \"1MiB\"\n";
    let server = Gateway::new().file("flow.wasm", guest("flow")).manifest("flow", manifest).start();
    let request = client().post(server.url("/tasks/flow/count")).body(vec![0_u8; 2 << 20]);
    server.send(request).await.problem(413, "input-too-large");
    let request = client().post(server.url("/tasks/flow/count")).body(pieces(20, &[b'y'; 100_000]));
    server.send(request).await.problem(413, "input-too-large");
    let response =
        client().get(server.url("/tasks/flow/repeat?text=12345678&times=200000")).send().await.unwrap();
    assert!(response.bytes().await.is_err(), "1.6 MB through a limit of 1 MiB");
}

#[tokio::test]
async fn a_client_that_reads_trailers_is_told_of_a_late_failure() {
    let server = Gateway::new()
        .file("flow.wasm", guest("flow"))
        .file("command.wasm", guest("command-preview1"))
        .start();
    let body = "x".repeat(200_000);
    for (path, body, kind, words) in [
        ("/tasks/command/late/3/200000", "", "task-error", "exited with code 3"),
        ("/tasks/flow/perhaps?until=150000", body.as_str(), "trap", "crashed as asked"),
    ] {
        let length = body.len();
        let get = |te: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nx-request-id: c1\r\n{te}content-length: {length}\r\n\r\n{body}"
            )
        };
        let reply = raw(&server, &get("te: trailers\r\nconnection: te, close\r\n"), false).await;
        let (_, end) = reply.rsplit_once("\r\n0\r\n").unwrap_or(("", "no last chunk"));
        assert!(end.starts_with(&format!("unblock-problem: {kind}; detail=")), "{path}: {end:?}");
        assert!(end.contains(words) && end.ends_with("call=\"c1\"\r\n\r\n"), "{path}: {end:?}");
        let reply = raw(&server, &get("connection: close\r\n"), false).await;
        assert!(!reply.ends_with("0\r\n\r\n"), "{path}: a body that broke off looks whole");
        assert!(!reply.contains("unblock-problem"), "{path}: not asked for");
    }
    // One that ends well has no such trailer.
    let get = "GET /tasks/flow/repeat?text=ab&times=1 HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: te, close\r\n\r\n";
    let reply = raw(&server, get, false).await;
    assert!(reply.starts_with("HTTP/1.1 200") && !reply.contains("unblock-problem: "), "{reply}");
}

#[test]
fn the_command_line_streams_as_well() {
    let file = crate::support::repository().join("target/guests/flow.wasm");
    let file = file.to_str().unwrap();
    let ended = run(&["run", file, "count"], &[b'x'; 100_000]);
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "100000"), "{}", ended.stderr);
    let ended = run(&["run", file, "upper"], b"loud");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "LOUD"), "{}", ended.stderr);
    let ended = run(&["run", file, "repeat", "ab", "times=2"], b"");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "abab"), "{}", ended.stderr);
    let ended = run(&["run", file, "perhaps", "fail=no"], b"");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("task-error: no"), "{}", ended.stderr);
}
