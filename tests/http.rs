//! The edge: every status and problem that a request can bring about, headers, negotiation, bodies.
//!
//! Each problem of the error table is produced by a request that earns it, and each says who has to
//! act. Ends of runs (traps, limits, deadlines) have files of their own.

use crate::support::guests::{Gate, MEMORY, gated, greeter, typed};
use crate::support::{Gateway, Reply, Server, client, until};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const MATHS: &str = r#"(module
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "half") (param f64) (result f64) local.get 0 f64.const 2 f64.div)
  (func (export "nothing")))"#;

const MATHS_MANIFEST: &str = r#"
[functions.add]
params = ["a", "b"]
[functions.half]
params = ["x"]
[[route]]
method = "POST"
path = "/sum/{a}"
function = "add"
[[route]]
method = "GET"
path = "/sum/{a}/{b}"
function = "add"
"#;

fn maths() -> Server {
    Gateway::new().wat("maths", MATHS).manifest("maths", MATHS_MANIFEST).start()
}

/// `resize` gives width + 1; its second parameter is a record.
fn resizer() -> Vec<u8> {
    let wit = "package t:t; world w {
  record options { width: u32, height: option<u32> }
  export resize: func(name: string, options: options) -> u32;
}";
    let core = format!(
        r#"(module {MEMORY} (func (export "resize") (param i32 i32 i32 i32 i32) (result i32)
  (i32.add (local.get 2) (i32.const 1))))"#
    );
    typed(wit, &core)
}

/// Sends bytes as they are and reads until the server closes.
async fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    let read = tokio::time::timeout(crate::support::PATIENCE, stream.read_to_end(&mut reply)).await;
    read.expect("an answer and the end of the connection").unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

/// Checks the status line of a raw reply, and gives the problem's document.
#[track_caller]
fn raw_problem(reply: &str, status: u16, slug: &str) -> serde_json::Value {
    assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    let document: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}"));
    assert_eq!(document["type"], format!("/problems/{slug}"), "{reply}");
    document
}

async fn method(server: &Server, method: &str, path: &str) -> Reply {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    server.send(client().request(method, server.url(path))).await
}

#[tokio::test]
async fn the_greeting_and_the_probes_answer() {
    let server = maths();
    let hello = server.get("/").await.ok();
    let seconds: u64 = hello.strip_prefix("Hello, world ").unwrap().parse().unwrap();
    assert!(seconds > 1_700_000_000, "{hello}");
    assert_eq!((server.get("/livez").await.status, server.get("/readyz").await.status), (200, 200));
}

#[tokio::test]
async fn a_wrong_argument_at_depth_is_named_by_its_pointer() {
    let server = Gateway::new().file("resizer.wasm", resizer()).start();
    let call = async |arguments: &str| server.post("/tasks/resizer/resize", arguments).await;
    assert_eq!(call(r#"{"name": "a", "options": {"width": 1}}"#).await.ok(), "2");
    let problem = call(r#"{"name": "a", "options": {"width": "wide"}}"#).await.problem(400, "bad-arguments");
    assert_eq!(problem["pointer"], "/options/width");
    assert_eq!(problem["expected"], "u32");
    assert_eq!(problem["detail"], "/options/width: expected u32, found \"wide\"");
    assert_eq!(problem["blame"], "caller");
    assert_eq!((&problem["task"], &problem["function"]), (&json!("resizer"), &json!("resize")));
    for (arguments, pointer, word) in [
        (r#"{"name": "a", "options": {"width": -1}}"#, "/options/width", "u32"),
        (r#"{"name": "a", "options": {"width": 4294967296}}"#, "/options/width", "4294967296"),
        (r#"{"name": "a", "options": {"width": 1.5}}"#, "/options/width", "1.5"),
        (r#"{"name": "a", "options": {}}"#, "/options/width", "nothing"),
        (r#"{"name": "a", "options": {"width": 1, "hight": 2}}"#, "/options/hight", "height"),
        (r#"{"name": "a"}"#, "/options", "options"),
        (r#"{"name": 7, "options": {"width": 1}}"#, "/name", "string"),
        (r#"{"nam": "a", "options": {"width": 1}}"#, "/nam", "name"),
        (r#"["a", {"width": 1}, 3]"#, "/2", "2"),
        ("7", "", "object"),
    ] {
        let problem = call(arguments).await.problem(400, "bad-arguments");
        assert_eq!(problem["pointer"], pointer, "{arguments}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{arguments}: {problem:#}");
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_named_with_the_place() {
    let server = maths();
    for broken in [r#"{"a": 1, "b": }"#, "{\"a\": 1", "nonsense", "{\"a\": 1} x"] {
        let problem = server.post("/tasks/maths/add", broken).await.problem(400, "bad-json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("at line 1, column"), "{broken}: {detail}");
        assert_eq!(problem.get("pointer"), None);
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_with_the_nearest_names() {
    let server = maths();
    let problem = server.get("/tasks/math/add").await.problem(404, "unknown-task");
    assert_eq!(problem["nearest"], json!(["maths"]));
    assert!(problem["detail"].as_str().unwrap().contains("did you mean maths?"), "{problem:#}");
    assert_eq!(server.get("/tasks/zzz").await.problem(404, "unknown-task").get("nearest"), None);
    let problem = server.get("/tasks/maths/ad").await.problem(404, "unknown-function");
    assert_eq!((&problem["nearest"], &problem["task"]), (&json!(["add"]), &json!("maths")));
    assert!(problem["detail"].as_str().unwrap().contains("add, half, nothing"), "{problem:#}");
    for path in
        ["/nothing", "/tasks/maths/add/more", "/tasks/maths/-", "/sum", "/sum/1/2/3", "/tasks/%ff/add"]
    {
        let problem = server.get(path).await.problem(404, "unknown-path");
        assert!(problem["detail"].as_str().unwrap().contains("GET /tasks lists them"), "{path}: {problem:#}");
    }
    let problem = server.get("/problems/queue-ful").await.problem(404, "unknown-path");
    assert_eq!(problem["nearest"][0], "queue-full");
}

#[tokio::test]
async fn a_task_of_several_functions_must_be_told_which() {
    let server = Gateway::new().wat("maths", MATHS).file("greeter.wasm", greeter()).start();
    let problem = server.post("/tasks/maths", "[1, 2]").await.problem(400, "ambiguous-function");
    assert!(problem["detail"].as_str().unwrap().contains("add, half, nothing"), "{problem:#}");
    assert_eq!(server.post("/tasks/greeter", r#"["you"]"#).await.ok(), "Hello, you");
}

#[tokio::test]
async fn another_method_is_405_with_allow_and_options_tells_it_too() {
    let server = maths();
    for (path, methods) in [
        ("/", "GET,HEAD"),
        ("/tasks", "GET,HEAD"),
        ("/tasks/maths", "DELETE,GET,HEAD,POST,PUT"),
        ("/tasks/maths/add", "GET,HEAD,POST"),
        ("/sum/1", "POST"),
        ("/sum/1/2", "GET,HEAD"),
    ] {
        let sorted = |reply: &Reply| {
            let mut allowed: Vec<String> =
                reply.header("allow").unwrap_or_default().split(',').map(|m| m.trim().to_owned()).collect();
            allowed.sort_unstable();
            allowed.join(",")
        };
        let refused = method(&server, "PATCH", path).await;
        refused.problem(405, "method-not-allowed");
        assert_eq!(sorted(&refused), methods, "PATCH {path}");
        let options = method(&server, "OPTIONS", path).await;
        assert_eq!((options.status, options.body.len()), (204, 0), "OPTIONS {path}");
        assert_eq!(sorted(&options), methods, "OPTIONS {path}");
    }
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let server = maths();
    for path in ["/", "/tasks", "/tasks/maths/add?a=40&b=2", "/sum/40/2", "/tasks/maths/nix"] {
        let (get, head) = (server.get(path).await, method(&server, "HEAD", path).await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for name in ["content-type", "unblock-task"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        if path != "/tasks/maths/nix" {
            assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
        }
    }
}

#[tokio::test]
async fn the_accept_header_chooses_between_the_natural_form_and_json() {
    let server = Gateway::new().file("greeter.wasm", greeter()).wat("maths", MATHS).start();
    let ask = async |path: &str, accept: &str| {
        server.send(client().get(server.url(path)).header("accept", accept)).await
    };
    let hello = "/tasks/greeter/greet?name=you";
    let reply = ask(hello, "*/*").await;
    assert_eq!(
        (reply.ok().as_str(), reply.header("content-type")),
        ("Hello, you", Some("text/plain; charset=utf-8"))
    );
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let reply = ask(hello, "application/json").await;
    assert_eq!(
        (reply.ok().as_str(), reply.header("content-type")),
        ("\"Hello, you\"", Some("application/json"))
    );
    let problem = ask(hello, "image/png, text/html").await.problem(406, "not-acceptable");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("image/png, text/html")
            && detail.contains("text/plain, application/json or text/x-wave"),
        "{detail}"
    );
    ask("/tasks/maths/add?0=1&1=2", "text/plain").await.problem(406, "not-acceptable");
    let nothing = ask("/tasks/maths/nothing", "image/png").await;
    assert_eq!((nothing.status, nothing.header("content-type")), (204, None));
}

#[tokio::test]
async fn parameters_come_from_the_path_the_query_a_form_and_json() {
    let server = maths();
    let post = |path: &str| client().post(server.url(path));
    const URL_ENCODED: &str = "application/x-www-form-urlencoded";
    assert_eq!(server.get("/tasks/maths/add?a=40&b=2").await.ok(), "42");
    assert_eq!(server.get("/sum/40/2").await.ok(), "42");
    assert_eq!(server.get("/sum/%34%30/2").await.ok(), "42");
    assert_eq!(server.post("/sum/40", r#"{"b": 2}"#).await.ok(), "42");
    assert_eq!(server.send(post("/sum/40?b=2")).await.ok(), "42");
    assert_eq!(
        server.send(post("/tasks/maths/add").header("content-type", URL_ENCODED).body("a=40&b=2")).await.ok(),
        "42"
    );
    // curl says of any `-d` that it is a form; and one without a type is JSON.
    let curl = post("/tasks/maths/add").header("content-type", URL_ENCODED).body("\n {\"a\": 40, \"b\": 2}");
    assert_eq!(server.send(curl).await.ok(), "42");
    assert_eq!(server.send(post("/tasks/maths/add").body("[40, 2]")).await.ok(), "42");
    let form = reqwest::multipart::Form::new().text("a", "40").text("b", "2");
    assert_eq!(server.send(post("/tasks/maths/add").multipart(form)).await.ok(), "42");
    let form = reqwest::multipart::Form::new().text("a", "40").text("c", "2");
    let problem = server.send(post("/tasks/maths/add").multipart(form)).await.problem(400, "bad-arguments");
    assert!(problem["detail"].as_str().unwrap().contains("\"c\""), "{problem:#}");
    // Once each.
    let problem = server.post("/sum/40", r#"{"a": 1, "b": 2}"#).await.problem(400, "bad-arguments");
    assert_eq!(problem["pointer"], "/a", "{problem:#}");
    let problem = server.get("/sum/x/2").await.problem(400, "bad-arguments");
    assert_eq!((&problem["pointer"], &problem["expected"]), (&json!("/a"), &json!("s32")), "{problem:#}");
    let problem = server.get("/tasks/maths/add?a=%ff&b=1").await.problem(400, "bad-arguments");
    assert!(problem["detail"].as_str().unwrap().contains("UTF-8"), "{problem:#}");
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let server = maths();
    let send = async |name: &str, value: &str| {
        let request = client().post(server.url("/tasks/maths/add")).header(name, value).body("[40, 2]");
        server.send(request).await
    };
    assert_eq!(send("content-type", "application/problem+json; charset=utf-8").await.ok(), "42");
    let problem = send("content-type", "text/yaml").await.problem(415, "unsupported-media-type");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("text/yaml") && detail.contains("application/json"), "{detail}");
    let problem = send("content-encoding", "gzip").await.problem(415, "unsupported-media-type");
    assert!(problem["detail"].as_str().unwrap().contains("gzip"), "{problem:#}");
    let problem = send("content-type", "multipart/form-data").await.problem(400, "bad-arguments");
    assert!(problem["detail"].as_str().unwrap().contains("boundary"), "{problem:#}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_from_the_header_and_while_it_comes() {
    let manifest = "[limits]\ninput = \"1KiB\"\n";
    let server = Gateway::new().file("greeter.wasm", greeter()).manifest("greeter", manifest).start();
    // Not a byte of the body is sent, and yet there is an answer.
    let head =
        "POST /tasks/greeter/greet HTTP/1.1\r\nhost: x\r\ncontent-length: 1025\r\nconnection: close\r\n\r\n";
    let problem = raw_problem(&raw(&server, head.as_bytes()).await, 413, "input-too-large");
    assert_eq!(problem["limit"], json!({"name": "input", "value": "1KiB"}), "{problem:#}");
    let pieces = (0..1_000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 600]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let reply = server.send(client().post(server.url("/tasks/greeter/greet")).body(body)).await;
    assert_eq!(reply.problem(413, "input-too-large")["limit"]["name"], "input");
    let exact = format!("[\"{}\"]", "x".repeat(1020));
    assert_eq!(server.post("/tasks/greeter/greet", &exact).await.ok().len(), 1027);
}

#[tokio::test]
async fn a_client_that_still_sends_a_refused_body_is_not_reset() {
    let manifest = "[limits]\ninput = \"1KiB\"\n";
    let server = Gateway::new().file("greeter.wasm", greeter()).manifest("greeter", manifest).start();
    let mut stream = tokio::net::TcpStream::connect(server.app().address()).await.unwrap();
    let head = "POST /tasks/greeter/greet HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Refused with the header, long before the last of this is sent: longer than an impatient
    // server would wait, with pauses as a slow link makes them.
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(&[b' '; 1_000]).await.expect("no reset while the body is sent");
    }
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    raw_problem(&String::from_utf8_lossy(&reply), 413, "input-too-large");
}

#[tokio::test]
async fn a_client_that_sends_its_body_too_slowly_gets_408() {
    let slow =
        Gateway::new().wat("maths", MATHS).set(|config| config.http.body_timeout = Duration::from_millis(60));
    let server = slow.start();
    let part =
        "POST /tasks/maths/add HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\nconnection: close\r\n\r\n[40";
    let problem = raw_problem(&raw(&server, part.as_bytes()).await, 408, "request-timeout");
    assert!(problem["detail"].as_str().unwrap().contains("60ms"), "{problem:#}");
    // A client that never ends its header is only closed.
    let slow = Gateway::new().set(|config| config.http.header_timeout = Duration::from_millis(60)).start();
    assert_eq!(raw(&slow, b"GET / HTTP/1.1\r\nhost: x\r\n").await, "");
}

#[tokio::test]
async fn a_header_over_the_bound_gets_431() {
    let server = maths();
    let long = "x".repeat(70_000);
    let reply = server.send(client().get(server.url("/")).header("x-long", &long)).await;
    assert_eq!(reply.problem(431, "headers-too-large")["limit"], json!({"name": "header", "value": "64KiB"}));
    server.get(&format!("/?{}", "y".repeat(60_000))).await.ok();
    assert_eq!(server.send(client().get(server.url("/")).header("x-long", long.repeat(3))).await.status, 431);
}

#[tokio::test]
async fn a_result_over_the_limit_is_the_tasks_fault() {
    let manifest = "[limits]\noutput = \"16B\"\n";
    let server = Gateway::new().file("greeter.wasm", greeter()).manifest("greeter", manifest).start();
    assert_eq!(server.get("/tasks/greeter/greet?name=123456789").await.ok(), "Hello, 123456789");
    let problem = server.get("/tasks/greeter/greet?name=1234567890").await.problem(500, "output-too-large");
    assert_eq!(problem["limit"], json!({"name": "output", "value": "16B"}));
    assert_eq!((&problem["phase"], &problem["blame"]), (&json!("encode"), &json!("task")));
}

#[tokio::test]
async fn a_media_type_that_is_none_is_a_bad_response() {
    let wit = "package t:t; world w { import unblock:task/body@0.1.0; export f: func(); }";
    let core = format!(
        r#"(module (import "unblock:task/body@0.1.0" "set-content-type" (func $set (param i32 i32)))
  {MEMORY} (data (i32.const 64) "no\0d\0asuch: thing")
  (func (export "f") (call $set (i32.const 64) (i32.const 16))))"#
    );
    let server = Gateway::new().file("odd.wasm", typed(wit, &core)).start();
    let reply = server.post("/tasks/odd/f", "").await;
    let problem = reply.problem(502, "bad-response");
    assert!(problem["detail"].as_str().unwrap().contains("no media type"), "{problem:#}");
    assert_eq!(reply.header("such"), None);
}

#[tokio::test]
async fn a_module_that_could_not_be_loaded_answers_why_and_what_helps() {
    let server =
        Gateway::new().wat("broken", "(module (func (export \"f\") i32.bad))").wat("maths", MATHS).start();
    let problem = server.get("/tasks/broken/f").await.problem(503, "bad-module");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1:28") && detail.contains("mend the text"), "{detail}");
    let listed = server.get("/tasks").await.json();
    assert_eq!(listed["failures"][0]["file"], "broken.wat", "{listed:#}");
    assert_eq!(listed["tasks"][0]["name"], "maths", "{listed:#}");
}

#[tokio::test]
async fn calls_beyond_concurrency_and_queue_get_503_with_retry_after() {
    let (gate, extra) = Gate::new();
    let limits = |queue: u32| format!("[limits]\nconcurrency = 1\nqueue = {queue}\nqueue_wait = \"30s\"\n");
    let server = Gateway::new()
        .wat("strict", &gated(1))
        .manifest("strict", &limits(0))
        .wat("waiting", &gated(2))
        .manifest("waiting", &limits(1))
        .imports(extra)
        .start();
    let call = |path: &'static str| {
        let request = client().get(server.url(path)).send();
        tokio::spawn(async move { request.await.unwrap().text().await.unwrap() })
    };
    let in_flight = async |task: &str, calls: u64| {
        let path = format!("/tasks/{task}");
        until("calls in flight", async || server.get(&path).await.json()["counts"]["running"] == calls).await;
    };
    let first = call("/tasks/strict/slow");
    in_flight("strict", 1).await;
    let reply = server.get("/tasks/strict/version").await;
    let problem = reply.problem(503, "queue-full");
    assert_eq!(problem["limit"], json!({"name": "queue", "value": "0"}), "{problem:#}");
    assert_eq!((&problem["phase"], &problem["blame"]), (&json!("queue"), &json!("gateway")));
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // One more may wait, and gets its turn.
    let second = call("/tasks/waiting/slow");
    in_flight("waiting", 1).await;
    let third = call("/tasks/waiting/version");
    in_flight("waiting", 2).await;
    let reply = server.get("/tasks/waiting/version").await;
    assert_eq!(reply.problem(503, "queue-full")["limit"]["value"], "1");
    gate.open(2);
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap(), third.await.unwrap()),
        ("1".into(), "2".into(), "2".into())
    );
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_its_turn_gets_503() {
    let (gate, extra) = Gate::new();
    let manifest = "[limits]\nconcurrency = 1\nqueue_wait = \"50ms\"\n";
    let server = Gateway::new().wat("gated", &gated(1)).manifest("gated", manifest).imports(extra).start();
    let request = client().get(server.url("/tasks/gated/slow")).send();
    let first = tokio::spawn(async move { request.await.unwrap().text().await.unwrap() });
    until("the first run", async || server.get("/tasks/gated").await.json()["counts"]["running"] == 1).await;
    let reply = server.get("/tasks/gated/version").await;
    assert_eq!(reply.problem(503, "queue-full")["limit"], json!({"name": "queue_wait", "value": "50ms"}));
    assert!(reply.header("retry-after").is_some());
    gate.open(1);
    assert_eq!(first.await.unwrap(), "1");
}

#[tokio::test]
async fn a_gateway_that_shuts_down_refuses_calls_and_says_when_to_come_back() {
    let server = maths();
    server.app().pool().close();
    let reply = server.get("/tasks/maths/add?a=1&b=2").await;
    let problem = reply.problem(503, "draining");
    assert_eq!((reply.header("retry-after"), &problem["phase"]), (Some("5"), &json!("queue")));
    // Everything that needs no run still answers.
    assert_eq!((server.get("/").await.status, server.get("/tasks").await.status), (200, 200));
}

#[tokio::test]
async fn a_request_id_is_taken_if_it_is_sane_and_made_if_not() {
    let server = maths();
    let ask = async |path: &str, id: &str| {
        server.send(client().get(server.url(path)).header("x-request-id", id)).await
    };
    assert_eq!(ask("/sum/1/2", "order-17/a").await.header("x-request-id"), Some("order-17/a"));
    let reply = ask("/sum/1/x", "order-17/a").await;
    assert_eq!(reply.problem(400, "bad-arguments")["call"], "order-17/a");
    for odd in ["a b", "", &"x".repeat(129)] {
        let reply = ask("/nothing", odd).await;
        let made = reply.header("x-request-id").unwrap().to_owned();
        assert!(made.len() == 16 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{odd:?} became {made:?}");
        assert_eq!(reply.problem(404, "unknown-path")["call"], made);
    }
    let ids = (server.get("/").await, server.get("/").await);
    assert_ne!(ids.0.header("x-request-id").unwrap(), ids.1.header("x-request-id").unwrap());
}

#[tokio::test]
async fn a_call_tells_its_version_and_where_its_time_went() {
    let server = maths();
    let digest = server.get("/tasks/maths").await.json()["digest"].as_str().unwrap().to_owned();
    let version = format!("maths@{digest}");
    let reply = server.get("/sum/1/2").await;
    assert_eq!(reply.header("unblock-task"), Some(version.as_str()));
    let timing = reply.header("server-timing").unwrap();
    let names: Vec<&str> = timing
        .split(", ")
        .map(|entry| {
            let (name, duration) = entry.split_once(";dur=").unwrap();
            let milliseconds: f64 = duration.parse().unwrap();
            assert!((0.0..20_000.0).contains(&milliseconds), "{timing}");
            name
        })
        .collect();
    assert_eq!(names, ["queue", "instantiate", "run", "encode", "cpu"]);
    let failed = server.get("/sum/1/x").await;
    assert_eq!(failed.header("unblock-task"), Some(version.as_str()));
    assert_eq!(server.get("/").await.header("server-timing"), None);
    assert_eq!(server.get("/nothing").await.header("unblock-task"), None);
}

#[tokio::test]
async fn a_preferred_wait_is_applied_and_names_itself_when_it_passes() {
    let (_gate, extra) = Gate::new();
    let server = Gateway::new().wat("gated", &gated(1)).imports(extra).start();
    let ask = async |path: &str, prefer: &str| {
        server.send(client().get(server.url(path)).header("prefer", prefer)).await
    };
    assert_eq!(ask("/tasks/gated/version", "wait=5").await.header("preference-applied"), Some("wait=5"));
    assert_eq!(ask("/tasks/gated/version", "wait=never").await.header("preference-applied"), None);
    let reply = ask("/tasks/gated/slow", "wait=1").await;
    let problem = reply.problem(504, "deadline-exceeded");
    assert_eq!(problem["limit"], json!({"name": "wait", "value": "1s"}), "{problem:#}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1s") && !detail.contains("manifest"), "{detail}");
    assert_eq!(reply.header("preference-applied"), Some("wait=1"));
}

#[tokio::test]
async fn large_texts_are_compressed_for_clients_that_accept_it() {
    let server = Gateway::new().file("greeter.wasm", greeter()).start();
    let long = json!(["x".repeat(20_000)]).to_string();
    let ask = async |accepted: Option<&str>, body: &str| {
        let request = client().post(server.url("/tasks/greeter/greet")).body(body.to_owned());
        let request = match accepted {
            Some(accepted) => request.header("accept-encoding", accepted),
            None => request,
        };
        server.send(request).await
    };
    for (accepted, encoding) in [("gzip", "gzip"), ("br;q=1, gzip;q=0.5", "br")] {
        let reply = ask(Some(accepted), &long).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (200, Some(encoding)));
        assert!(reply.body.len() < 1_000, "{accepted}: {} bytes", reply.body.len());
        assert!(reply.header("vary").unwrap().to_ascii_lowercase().contains("accept-encoding"));
        assert_eq!(encoding == "gzip", reply.body.starts_with(&[0x1f, 0x8b]), "the magic number of gzip");
    }
    let plain = ask(None, &long).await;
    assert_eq!((plain.ok().len(), plain.header("content-encoding")), (20_007, None));
    assert_eq!(ask(Some("gzip"), "[\"short\"]").await.header("content-encoding"), None);
}

#[tokio::test]
async fn the_type_of_each_problem_leads_to_a_page() {
    let server = Gateway::new().start();
    let list = server.get("/problems").await.ok();
    for kind in gateway::error::Kind::ALL {
        let path = format!("/problems/{}", kind.slug());
        let page = server.get(&path).await.ok();
        assert!(page.contains(kind.title()) && page.contains("To act: the "), "{page}");
        assert!(list.contains(&format!("{path} ")), "{list}");
    }
}

#[tokio::test]
async fn what_is_no_http_does_not_disturb_the_next_client() {
    let server = maths();
    assert!(raw(&server, b"\x16\x03\x01 nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let smuggled = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc";
    assert!(raw(&server, smuggled).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(server.get("/sum/1/2").await.ok(), "3");
}
