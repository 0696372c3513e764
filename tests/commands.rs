//! WASI commands, 0.2, 0.3, preview 1 and 0: streams, arguments, exit codes, and what a bad one does.

use crate::support::process::run;
use crate::support::{Gateway, Server, client, guest, until};
use futures_util::StreamExt as _;
use serde_json::json;
use std::time::Duration;

const ALL: [&str; 3] = ["command", "command-preview1", "command-p3"];

/// The code that the caller sees of one above 1: WASI 0.2 and 0.3 tell success from failure and no more.
fn code_of(name: &str, code: i32) -> i32 {
    if name == "command-preview1" { code } else { 1 }
}

fn server_with(manifest: &str) -> Server {
    let mut gateway = Gateway::new();
    for name in ALL {
        gateway = gateway.file(&format!("{name}.wasm"), guest(name)).manifest(name, manifest);
    }
    gateway.start()
}

fn server() -> Server {
    server_with("[limits]\ncpu = \"5s\"\nmemory = \"32MiB\"\n")
}

async fn calm(server: &Server) {
    until("the end of every run", async || server.pool().permits == 0).await;
}

#[tokio::test]
async fn the_body_is_standard_input_and_standard_output_the_response() {
    let server = server();
    for name in ALL {
        let told = server.json_of(name).await;
        assert_eq!(told["kind"], "command", "{told:#}");
        let text = "grün\n".repeat(100_000);
        let reply =
            server.send(client().post(server.url(&format!("/tasks/{name}/cat"))).body(text.clone())).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain; charset=utf-8")));
        assert!(reply.text() == text, "{name}");
        let reply = server.get(&format!("/tasks/{name}/binary")).await;
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        assert_eq!(reply.body.len(), 256, "{name}");
        let reply = server.get(&format!("/tasks/{name}/empty")).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{name}");
        // Without arguments: at the task's own URL.
        let reply = server.send(client().post(server.url(&format!("/tasks/{name}"))).body("abc")).await;
        assert_eq!(reply.ok(), "abc");
    }
}

#[tokio::test]
async fn path_and_query_are_arguments() {
    let server = server();
    for name in ALL {
        let reply = server.get(&format!("/tasks/{name}/args/a%20b/c%2Fd?arg=e+f&arg=")).await;
        assert_eq!(reply.ok(), "args\na b\nc/d\ne f\n\n", "{name}");
        let problem = server.get(&format!("/tasks/{name}/args?x=1")).await.problem(400, "bad-arguments");
        assert!(problem["detail"].as_str().unwrap().contains("arg="), "{problem:#}");
        server.get(&format!("/tasks/{name}/args/%00")).await.problem(400, "bad-arguments");
        server.get(&format!("/tasks/{name}/args/%ff")).await.problem(400, "bad-arguments");
    }
}

#[tokio::test]
async fn an_exit_code_is_an_error_with_the_last_words() {
    let server = server();
    for (name, code) in ALL.map(|name| (name, code_of(name, 3))) {
        let problem =
            server.get(&format!("/tasks/{name}/exit/3/so/it/goes")).await.problem(422, "task-error");
        assert_eq!(problem["value"], json!({"exit_code": code}), "{problem:#}");
        assert!(problem["stderr"].as_str().unwrap().contains("goes"), "{problem:#}");
        let problem = server.get(&format!("/tasks/{name}/panic")).await.problem(500, "trap");
        assert!(problem["detail"].as_str().unwrap().contains("as asked"), "{problem:#}");
        server.get(&format!("/tasks/{name}/hungry")).await.problem(500, "memory-exceeded");
        // After 64 KiB the head is gone: the body breaks off instead.
        let response =
            client().get(server.url(&format!("/tasks/{name}/late/3/200000"))).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err(), "{name}: a body that broke off looks complete");
    }
}

#[tokio::test]
async fn hostile_commands_harm_nobody() {
    let server = server_with("[limits]\nwall = \"8s\"\ncpu = \"500ms\"\nmemory = \"32MiB\"\n");
    for name in ALL {
        server.get(&format!("/tasks/{name}/loop")).await.problem(504, "cpu-exceeded");
        // Writes for ever: the reader decides how fast, and its end is the command's.
        let response = client().get(server.url(&format!("/tasks/{name}/flood"))).send().await.unwrap();
        let mut stream = response.bytes_stream();
        assert!(stream.next().await.unwrap().is_ok());
        drop(stream);
        calm(&server).await;
        let reply = server.get(&format!("/tasks/{name}/stderr/3000")).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        // Reads one byte of many, and wants no more.
        let body = vec![b'x'; 3 << 20];
        let reply = server.send(client().post(server.url(&format!("/tasks/{name}/taste"))).body(body)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
    calm(&server).await;
}

#[tokio::test]
async fn a_million_small_writes_arrive() {
    let server = server_with("[limits]\ncpu = \"20s\"\n");
    for name in ALL {
        let reply = server.get(&format!("/tasks/{name}/drip/1000000")).await;
        assert_eq!(reply.status, 200, "{name}");
        assert!(reply.body.len() >= 1_000_000, "{name}: {}", reply.body.len());
    }
}

#[tokio::test]
async fn input_is_read_as_it_comes() {
    let server = server();
    for name in ALL {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(1);
        let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let body = reqwest::Body::wrap_stream(pieces);
        let asked = tokio::spawn(client().post(server.url(&format!("/tasks/{name}/line"))).body(body).send());
        sender.send(Ok("first\n")).await.unwrap();
        // Answered although the body has no end yet.
        let reply = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("an answer").unwrap();
        assert!(reply.unwrap().text().await.unwrap().contains("first"), "{name}");
        drop(sender);
    }
}

#[tokio::test]
async fn a_command_of_0_3_streams_is_slowed_down_and_ends_with_its_last_task() {
    let server = server();
    let of = |behaviour: &str| server.url(&format!("/tasks/command-p3/{behaviour}"));
    // More than pipes hold, through the guest's memory and past it.
    let body: Vec<u8> = (0..64 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for behaviour in ["cat", "splice"] {
        let reply = server.send(client().post(of(behaviour)).body(body.clone())).await;
        assert!(reply.status == 200 && reply.body == body, "{behaviour}: {}", reply.body.len());
    }
    // A reader that takes nothing: the guest waits.
    let unread = client().get(of("source/1000000000000")).send().await.unwrap();
    assert_eq!(unread.status(), 200);
    until("the guest waits for its reader", async || server.pool().parked == 1).await;
    drop(unread);
    calm(&server).await;
    for behaviour in ["source/200000", "hasty/200000"] {
        assert_eq!(server.get(&format!("/tasks/command-p3/{behaviour}")).await.ok().len(), 200_000);
    }
    // Two streams that wait at the full pipe at once, and a task that goes on after the return.
    assert_eq!(server.get("/tasks/command-p3/duet/1000000").await.ok().len(), 2_000_000);
    let after = server.get("/tasks/command-p3/after").await;
    assert_eq!(after.ok(), "before its return\nafter its return\n");
    let quit = server.get("/tasks/command-p3/quit").await.problem(422, "task-error");
    assert_eq!(quit["value"], json!({"exit_code": 1}), "{quit:#}");
    assert_eq!(server.get("/tasks/command-p3/leave").await.ok(), "before the exit\n");
}

#[tokio::test]
async fn a_manifest_may_state_the_media_type() {
    let server = server_with("content_type = \"application/json\"\n");
    let reply = server.send(client().post(server.url("/tasks/command/cat")).body("{}")).await;
    assert_eq!((reply.ok().as_str(), reply.header("content-type")), ("{}", Some("application/json")));
}

#[tokio::test]
async fn a_cgi_program_prints_its_own_header() {
    let server = server_with("interface = \"cgi\"\n");
    for name in ALL {
        let request = client()
            .post(server.url(&format!("/tasks/{name}/a/b?x=1&y")))
            .body("Status: 201 Made\r\nContent-Type: text/x-made\r\nX-Mine: 1\r\n\r\nbody");
        // Without arguments the guest copies its input.
        let reply = server.send(request).await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "body"), "{name}");
        assert_eq!((reply.header("content-type"), reply.header("x-mine")), (Some("text/x-made"), Some("1")));
        let reply = server.send(client().post(server.url(&format!("/tasks/{name}"))).body("no header")).await;
        reply.problem(502, "bad-response");
    }
}

#[tokio::test]
async fn a_route_gives_its_parameters_as_arguments() {
    let manifest = "[[route]]\nmethod = \"GET\"\npath = \"/{first}x\"\n";
    let server = Gateway::new().file("command.wasm", guest("command")).manifest("command", manifest).start();
    server.get("/tasks/command/args").await.problem(503, "bad-module");
    let manifest = "[[route]]\nmethod = \"GET\"\npath = \"/say/{*words}\"\n";
    let server = Gateway::new().file("command.wasm", guest("command")).manifest("command", manifest).start();
    assert_eq!(server.get("/say/args/a/b%20c").await.ok(), "args\na\nb c\n");
}

/// A program in text: `say` writes `text` to a stream, then `end` is run.
fn program(module: &str, end: &str) -> String {
    format!(
        r#"(module
  (import "{module}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{module}" "proc_exit" (func $exit (param i32)))
  (import "{module}" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "said\n")
  (func $say (param $stream i32)
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (local.get $stream) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (call $say (i32.const 1)) {end}))"#
    )
}

#[tokio::test]
async fn programs_of_both_previews_run_and_every_exit_code_counts() {
    let mut gateway = Gateway::new();
    for (name, module) in [("one", "wasi_snapshot_preview1"), ("zero", "wasi_unstable")] {
        gateway = gateway
            .wat(name, &program(module, ""))
            .wat(
                &format!("{name}-fails"),
                &program(module, "(call $say (i32.const 2)) (call $exit (i32.const 255))"),
            )
            .wat(
                &format!("{name}-asks"),
                &program(
                    module,
                    "(drop (call $prestat (i32.const 3) (i32.const 16))) (call $exit (i32.const 1))",
                ),
            );
    }
    let server = gateway.start();
    for name in ["one", "zero"] {
        assert_eq!(server.get(&format!("/tasks/{name}/")).await.ok(), "said\n");
        let problem = server.get(&format!("/tasks/{name}-fails/")).await.problem(422, "task-error");
        assert_eq!(problem["value"], json!({"exit_code": 255}), "{problem:#}");
        assert_eq!(problem["stderr"], "said", "{problem:#}");
        assert_eq!(problem.get("hints"), None, "{problem:#}");
        let problem = server.get(&format!("/tasks/{name}-asks/")).await.problem(422, "task-error");
        assert!(problem["hints"].to_string().contains("dirs"), "{problem:#}");
    }
}

/// A program whose allocator takes every page of its memory for its own, as Go's does: after `_start` has
/// written, it grows twice and checks that nobody else wrote there.
#[tokio::test]
async fn a_programs_memory_is_its_own() {
    let text = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "clean\n")
  (func (export "_start") (local $at i32)
    (drop (call $random (i32.const 128) (i32.const 16)))
    (drop (memory.grow (i32.const 4)))
    (drop (call $random (i32.const 128) (i32.const 16)))
    (if (i32.ne (memory.size) (i32.const 5)) (then unreachable))
    (local.set $at (i32.const 65536))
    (loop $next
      (if (i32.load (local.get $at)) (then unreachable))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 327680))))
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let server = Gateway::new().wat("owner", text).start();
    assert_eq!(server.get("/tasks/owner/").await.ok(), "clean\n");
}

#[tokio::test]
async fn a_library_of_preview_1_is_called_by_its_functions() {
    let text = r#"(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 1)))
  (func (export "now") (result i64)
    (if (i32.eqz (global.get $ready)) (then unreachable))
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8)))
    (i64.div_u (i64.load (i32.const 8)) (i64.const 1000000000))))"#;
    let server = Gateway::new().wat("clock", text).start();
    let now = server.get("/tasks/clock").await.json();
    assert_eq!(now["kind"], "core-module", "{now:#}");
    let seconds: u64 = server.get("/tasks/clock/now").await.ok().parse().unwrap();
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(here.abs_diff(seconds) < 5, "{seconds} is not now, {here}");
}

#[test]
fn the_command_line_runs_them_like_a_shell() {
    for (name, code) in ALL.map(|name| (name, code_of(name, 7))) {
        let file = crate::support::repository().join(format!("target/guests/{name}.wasm"));
        let file = file.to_str().unwrap();
        let ended = run(&["run", file, "cat"], b"in and out");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "in and out"), "{}", ended.stderr);
        let ended = run(&["run", file, "exit", "7", "last", "words"], b"");
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("words"), "{}", ended.stderr);
    }
    let file = crate::support::repository().join("target/guests/http-p2.wasm");
    let ended = run(&["run", file.to_str().unwrap(), "GET", "/hello"], b"");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "hello\n"), "{}", ended.stderr);
}
