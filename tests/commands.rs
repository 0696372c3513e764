//! WASI commands, 0.2 and preview 1: streams, arguments, exit codes, and what a bad one does.

use crate::support::process::run;
use crate::support::{Gateway, Server, client, guest, until};
use futures_util::StreamExt as _;
use serde_json::json;
use std::time::Duration;

const BOTH: [&str; 2] = ["command", "command-preview1"];

fn server_with(manifest: &str) -> Server {
    let mut gateway = Gateway::new();
    for name in BOTH {
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
    for name in BOTH {
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
    for name in BOTH {
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
    for name in BOTH {
        let problem =
            server.get(&format!("/tasks/{name}/exit/3/so/it/goes")).await.problem(422, "task-error");
        // WASI 0.2 tells success from failure and no more.
        assert_eq!(problem["value"], json!({"exit_code": 1}), "{problem:#}");
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
    for name in BOTH {
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
    for name in BOTH {
        let reply = server.get(&format!("/tasks/{name}/drip/1000000")).await;
        assert_eq!(reply.status, 200, "{name}");
        assert!(reply.body.len() >= 1_000_000, "{name}: {}", reply.body.len());
    }
}

#[tokio::test]
async fn input_is_read_as_it_comes() {
    let server = server();
    for name in BOTH {
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
async fn a_manifest_may_state_the_media_type() {
    let server = server_with("content_type = \"application/json\"\n");
    let reply = server.send(client().post(server.url("/tasks/command/cat")).body("{}")).await;
    assert_eq!((reply.ok().as_str(), reply.header("content-type")), ("{}", Some("application/json")));
}

#[tokio::test]
async fn a_cgi_program_prints_its_own_header() {
    let server = server_with("interface = \"cgi\"\n");
    for name in BOTH {
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

#[test]
fn the_command_line_runs_them_like_a_shell() {
    for name in BOTH {
        let file = crate::support::repository().join(format!("target/guests/{name}.wasm"));
        let file = file.to_str().unwrap();
        let ended = run(&["run", file, "cat"], b"in and out");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "in and out"), "{}", ended.stderr);
        let ended = run(&["run", file, "exit", "7", "last", "words"], b"");
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("words"), "{}", ended.stderr);
    }
    let file = crate::support::repository().join("target/guests/http-p2.wasm");
    let ended = run(&["run", file.to_str().unwrap(), "GET", "/hello"], b"");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "hello\n"), "{}", ended.stderr);
}
