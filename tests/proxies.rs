//! Behind a proxy: whose rate a request counts for, whom auditors read of, what guests are told of their client.

use crate::access::Tokens;
use crate::support::process::{Program, run};
use crate::support::{Gateway, Server, client, guest, until};
use gateway::http::{Proxies, Rate};
use serde_json::Value;

const ADD: &str =
    "(module (func (export \"add\") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))";

const CALL: &str = "/tasks/add/add?0=1&1=2";

/// A gateway that takes the word of these proxies; the tests' own client asks from 127.0.0.1.
fn behind(networks: &str, field: &str) -> Gateway {
    let proxies = Proxies::parse(networks).unwrap().with_field(field).unwrap();
    Gateway::new().wat("add", ADD).set(move |config| config.http.proxies = Some(proxies))
}

fn limited(gateway: Gateway) -> Server {
    gateway.set(|config| config.http.rate = Some(Rate::parse("2/h").unwrap())).start()
}

async fn status(server: &Server, path: &str, fields: &[(&str, &str)]) -> u16 {
    let request = client().get(server.url(path));
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    server.send(request).await.status
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_a_rate_each() {
    let server = limited(behind("127.0.0.1,10.0.0.0/8", "x-forwarded-for"));
    for (fields, expected) in [
        (&[("x-forwarded-for", "192.0.2.1")][..], 200),
        (&[("x-forwarded-for", "192.0.2.1:4711, 10.0.0.7")], 200),
        (&[("x-forwarded-for", "192.0.2.1")], 429),
        // What that client writes before what its proxies add makes it nobody else.
        (&[("x-forwarded-for", "203.0.113.1, 192.0.2.1")], 429),
        (&[("x-forwarded-for", "203.0.113.2, 10.0.0.8, 192.0.2.1, 10.0.0.7")], 429),
        (&[("x-forwarded-for", "203.0.113.3"), ("x-forwarded-for", "192.0.2.1")], 429),
        (&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=203.0.113.4")], 429),
        (&[("x-forwarded-for", "192.0.2.1"), ("x-real-ip", "203.0.113.5")], 429),
        // Others are not held up by it; of IPv6 a customer has a whole prefix.
        (&[("x-forwarded-for", "192.0.2.2")], 200),
        (&[("x-forwarded-for", "2001:db8::1")], 200),
        (&[("x-forwarded-for", "[2001:db8::2]:443")], 200),
        (&[("x-forwarded-for", "2001:db8::3")], 429),
        // Whoever cannot be told from the proxy counts as the proxy.
        (&[], 200),
        (&[("x-forwarded-for", "203.0.113.6, unknown")], 200),
        (&[("x-forwarded-for", "_hidden")], 429),
    ] {
        assert_eq!(status(&server, CALL, fields).await, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn proxies_that_write_forwarded_are_read_there_alone() {
    let server = limited(behind("127.0.0.0/8", "forwarded"));
    for (fields, expected) in [
        (&[("forwarded", "for=192.0.2.1")][..], 200),
        (&[("forwarded", "for=203.0.113.1, for=\"192.0.2.1:80\";proto=https")], 200),
        (&[("forwarded", "for=203.0.113.1;x=\"y, z\""), ("forwarded", "for=192.0.2.1")], 429),
        (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.4")], 429),
        (&[("forwarded", "for=\"[2001:db8::1]\"")], 200),
    ] {
        assert_eq!(status(&server, CALL, fields).await, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn strangers_are_not_believed() {
    for server in [limited(behind("10.0.0.0/8", "x-forwarded-for")), limited(Gateway::new().wat("add", ADD))]
    {
        let mut seen = Vec::new();
        for n in 1..=3 {
            let address = format!("192.0.2.{n}");
            let forwarded = format!("for={address}");
            seen.push(
                status(&server, CALL, &[("x-forwarded-for", &address), ("forwarded", &forwarded)]).await,
            );
        }
        assert_eq!(seen, [200, 200, 429]);
    }
}

/// A CGI program that prints its environment: `NAME=VALUE`, each with a zero byte behind it.
const CGI: &str = r#"(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "Content-Type: text/plain\n\n")
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 1024) (i32.const 4096)))
    (i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const 26))
    (i32.store (i32.const 24) (i32.const 4096)) (i32.store (i32.const 28) (i32.load (i32.const 4)))
    ;; One by one: a host may take no more than the first of several.
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 32)))
    (drop (call $write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 32)))))"#;

/// What a guest was told that matters here.
fn told(text: &str) -> Vec<String> {
    const STARTS: [&str; 8] = [
        "scheme",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-real-ip",
        "forwarded",
        "REMOTE_ADDR",
        "HTTPS",
        "HTTP_X_FORWARDED",
    ];
    let lines = text.split(['\n', '\0']).map(|line| line.trim_start_matches("header "));
    let mut told: Vec<String> =
        lines.filter(|line| STARTS.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect();
    told.sort();
    told
}

#[tokio::test]
async fn guests_are_told_of_their_client_by_whom_the_gateway_believes() {
    let guests = |gateway: Gateway| {
        gateway
            .file("http.wasm", guest("http-p3"))
            .wat("cgi", CGI)
            .manifest("cgi", "interface = \"cgi\"\n")
            .start()
    };
    let sent = [
        ("x-forwarded-for", "203.0.113.66, 192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.67"),
        ("x-real-ip", "203.0.113.68"),
    ];
    let ask = async |server: &Server, path: &str| {
        let request = client().get(server.url(path));
        let request = sent.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        told(&server.send(request).await.ok())
    };
    let trusting = guests(behind("127.0.0.1", "x-forwarded-for"));
    let http = ask(&trusting, "/tasks/http/tell").await;
    assert_eq!(
        http,
        ["scheme Some(Scheme::Https)", "x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https"]
    );
    let cgi = ask(&trusting, "/tasks/cgi/env").await;
    assert_eq!(
        cgi,
        [
            "HTTPS=on",
            "HTTP_X_FORWARDED_FOR=192.0.2.1",
            "HTTP_X_FORWARDED_PROTO=https",
            "REMOTE_ADDR=192.0.2.1"
        ]
    );

    let strict = guests(behind("10.0.0.0/8", "x-forwarded-for"));
    let http = ask(&strict, "/tasks/http/tell").await;
    assert_eq!(http, ["scheme Some(Scheme::Http)", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"]);

    // Without a word about proxies guests get what was sent, as ever, and a program its peer's address.
    let silent = guests(Gateway::new());
    let http = ask(&silent, "/tasks/http/tell").await;
    assert_eq!(
        http,
        [
            "forwarded: for=203.0.113.67",
            "scheme Some(Scheme::Http)",
            "x-forwarded-for: 203.0.113.66, 192.0.2.1",
            "x-forwarded-proto: https",
            "x-real-ip: 203.0.113.68"
        ]
    );
    let cgi = ask(&silent, "/tasks/cgi/env").await;
    assert!(cgi.contains(&"REMOTE_ADDR=127.0.0.1".to_owned()), "{cgi:?}");
}

#[tokio::test]
async fn auditors_read_of_the_client_and_of_the_proxy_it_came_by() {
    let tokens = Tokens::new();
    let token = tokens.with(&["manage"]);
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--tokens",
        tokens.path.to_str().unwrap(),
        "--trusted-proxy",
        "127.0.0.0/8,::1",
        "--log-format",
        "json",
    ];
    let program = Program::serve(folder.path(), &flags).await;
    for forwarded in [Some("192.0.2.1"), None] {
        let request = client().delete(program.url("/tasks/none")).bearer_auth(&token);
        let request = match forwarded {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status().as_u16(), 404);
    }
    let mut lines: Vec<Value> = Vec::new();
    until("both lines", async || {
        let log = program.log();
        let read = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines = read.filter(|line| line["target"] == "audit").collect();
        lines.len() >= 2
    })
    .await;
    assert_eq!(lines[0]["client.address"], "192.0.2.1");
    assert!(lines[0]["proxy.address"].as_str().unwrap().starts_with("127.0.0.1:"), "{:#}", lines[0]);
    assert!(lines[1]["client.address"].as_str().unwrap().starts_with("127.0.0.1:"), "{:#}", lines[1]);
    assert_eq!(lines[1].get("proxy.address"), None);
}

#[test]
fn proxies_that_are_none_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().to_str().unwrap();
    for (flags, word) in [
        (
            &["--trusted-proxy", "proxy.example"][..],
            "--trusted-proxy (or UNBLOCK_TRUSTED_PROXY): found \"proxy.example\"",
        ),
        (&["--trusted-proxy", "0.0.0.0/0"], "everybody"),
        (&["--trusted-proxy", "10.0.0.1/8"], "expected 10.0.0.0/8"),
        (
            &["--trusted-proxy", "10.0.0.0/8", "--proxy-header", "x-real-ip"],
            "expected x-forwarded-for or forwarded",
        ),
        (&["--proxy-header", "forwarded"], "found no --trusted-proxy beside it"),
    ] {
        let ended = run(&[&["serve", "--tasks", tasks, "--listen", "127.0.0.1:0"], flags].concat(), b"");
        assert!(ended.code == Some(2) && ended.stderr.contains(word), "{}", ended.stderr);
    }
}
