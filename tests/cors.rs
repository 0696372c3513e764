//! Pages of other origins: whom a browser lets call and read, and that asking for it calls nothing.

use crate::access::Tokens;
use crate::support::process::run;
use crate::support::{Gateway, Reply, Server, client, guest};
use gateway::http::{Cors, Rate};

const ADD: &str =
    "(module (func (export \"add\") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))";

const APP: &str = "https://app.example.com";

fn gateway() -> Gateway {
    Gateway::new().wat("add", ADD).file("http.wasm", guest("http-p3"))
}

fn with(origins: &str) -> Gateway {
    let cors = Cors::parse(origins).unwrap();
    gateway().set(move |config| config.http.cors = Some(cors))
}

async fn ask(server: &Server, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let request = client().request(method.parse().unwrap(), server.url(path));
    server.send(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// What the answer says to a browser.
fn told(reply: &Reply) -> Vec<(&str, &str)> {
    let names = reply.headers.keys().map(reqwest::header::HeaderName::as_str);
    let mut told: Vec<(&str, &str)> =
        names.filter_map(|name| Some((name.strip_prefix("access-control-")?, reply.header(name)?))).collect();
    told.sort_unstable();
    told
}

fn varies(reply: &Reply) -> bool {
    reply.headers.get_all("vary").iter().any(|value| value == "origin")
}

#[tokio::test]
async fn a_preflight_passes_without_a_token_and_calls_nothing() {
    let tokens = Tokens::new();
    let token = tokens.with(&["call:*", "read"]);
    let server = tokens.guard(with(&format!("http://localhost:3000,{APP}"))).start();
    for (method, path) in [
        ("POST", "/tasks/add/add"),
        ("GET", "/tasks/http/hello"),
        ("PROPFIND", "/tasks/http/loop-before"),
        ("PUT", "/tasks/new"),
        ("GET", "/tasks"),
        ("GET", "/nothing"),
    ] {
        let preflight = [
            ("origin", APP),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        let reply = ask(&server, "OPTIONS", path, &preflight).await;
        assert_eq!((reply.status, varies(&reply)), (204, true), "{path}: {}", reply.text());
        assert_eq!(
            told(&reply),
            [
                ("allow-headers", "authorization, *"),
                ("allow-methods", "*"),
                ("allow-origin", APP),
                ("max-age", "7200")
            ],
            "{path}"
        );
        assert!(reply.header("x-request-id").is_some());
        // Other origins learn nothing, and are not told so by an error that a page could tell from others.
        let foreign = [("origin", "https://evil.example"), preflight[1]];
        let reply = ask(&server, "OPTIONS", path, &foreign).await;
        assert_eq!((reply.status, told(&reply), varies(&reply)), (204, vec![], true), "{path}");
    }
    // What is none is a request like any: it needs a token, and a guest gets it.
    for part in [("origin", APP), ("access-control-request-method", "GET")] {
        ask(&server, "OPTIONS", "/tasks/http/tell", &[part]).await.problem(401, "unauthorized");
    }
    let bearer = format!("Bearer {token}");
    let reply =
        ask(&server, "OPTIONS", "/tasks/http/tell", &[("origin", APP), ("authorization", &bearer)]).await;
    assert!(reply.ok().to_uppercase().contains("OPTIONS"), "{}", reply.text());
    for (task, calls) in [("add", 0), ("http", 1)] {
        let described =
            ask(&server, "GET", &format!("/tasks/{task}"), &[("authorization", &bearer)]).await.json();
        assert_eq!(described["counts"]["calls"], calls, "{described:#}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_read_answers_and_problems_and_no_others_do() {
    let tokens = Tokens::new();
    let token = format!("Bearer {}", tokens.with(&["call:add"]));
    let server = tokens.guard(with(APP)).start();
    for (path, authorization, status) in [
        ("/tasks/add/add?0=1&1=2", token.as_str(), 200),
        ("/tasks/add/add?0=1&1=2", "Bearer guess", 401),
        ("/tasks/other/add", &token, 403),
        ("/livez", "", 200),
    ] {
        let ours = ask(&server, "GET", path, &[("origin", APP), ("authorization", authorization)]).await;
        assert_eq!(ours.status, status, "{path}");
        assert_eq!(told(&ours), [("allow-origin", APP), ("expose-headers", "*")], "{path}");
        assert!(varies(&ours), "{path}");
        for other in
            ["https://evil.example", "http://app.example.com", "https://app.example.com:8443", "null"]
        {
            let theirs =
                ask(&server, "GET", path, &[("origin", other), ("authorization", authorization)]).await;
            assert_eq!(
                (theirs.status, told(&theirs), varies(&theirs)),
                (status, vec![], true),
                "{path} {other}"
            );
        }
        let none = ask(&server, "GET", path, &[("authorization", authorization)]).await;
        assert_eq!((told(&none), varies(&none)), (vec![], true), "{path}");
    }
}

#[tokio::test]
async fn all_origins_are_let_in_without_credentials() {
    let server = with("*").start();
    let reply = ask(&server, "GET", "/tasks/add/add?0=1&1=2", &[("origin", "null"), ("cookie", "a=b")]).await;
    assert_eq!(
        (reply.ok().as_str(), told(&reply)),
        ("3", vec![("allow-origin", "*"), ("expose-headers", "*")])
    );
    assert!(!varies(&reply));
    // Pages see no answer of requests that brought cookies: without this field a browser keeps it.
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let reply = ask(&server, "OPTIONS", "/tasks/add", &preflight).await;
    assert_eq!(
        (reply.header("access-control-allow-origin"), reply.header("access-control-allow-credentials")),
        (Some("*"), None)
    );
}

/// A path where the guest lets all origins in by itself.
const OWN: &str = "/tasks/http/header?name=access-control-allow-origin&value=*";

#[tokio::test]
async fn the_operators_word_replaces_a_guests_own() {
    let server = with(APP).start();
    for (origin, expected) in
        [(APP, vec![("allow-origin", APP), ("expose-headers", "*")]), ("https://evil.example", vec![])]
    {
        let reply = ask(&server, "GET", OWN, &[("origin", origin)]).await;
        assert_eq!((reply.status, told(&reply)), (200, expected), "{origin}");
    }
}

#[tokio::test]
async fn without_the_flag_nothing_is_said_and_guests_speak_for_themselves() {
    let server = gateway().start();
    let preflight = [("origin", APP), ("access-control-request-method", "POST")];
    for path in ["/tasks/add/add?0=1&1=2", "/tasks", "/livez"] {
        for method in ["GET", "OPTIONS"] {
            let reply = ask(&server, method, path, &preflight).await;
            assert_eq!((told(&reply), varies(&reply)), (vec![], false), "{method} {path}");
        }
    }
    let own = ask(&server, "GET", OWN, &preflight).await;
    assert_eq!(told(&own), [("allow-origin", "*")]);
    // Their own preflights, too.
    let reply = ask(&server, "OPTIONS", "/tasks/http/tell", &preflight).await;
    assert!(reply.ok().to_uppercase().contains("OPTIONS"), "{}", reply.text());
}

#[tokio::test]
async fn preflights_are_nobodys_requests_and_refusals_can_be_read() {
    let rate = Rate::parse("2/h").unwrap();
    let server = with(APP).set(move |config| config.http.rate = Some(rate)).start();
    let preflight = [("origin", APP), ("access-control-request-method", "POST")];
    for _ in 0..5 {
        let reply = ask(&server, "OPTIONS", "/tasks/add/add", &preflight).await;
        assert_eq!((reply.status, reply.header("ratelimit")), (204, None));
    }
    let mut last = None;
    for _ in 0..3 {
        last = Some(ask(&server, "GET", "/tasks/add/add?0=1&1=2", &preflight[..1]).await);
    }
    let last = last.unwrap();
    last.problem(429, "rate-limited");
    assert_eq!(told(&last), [("allow-origin", APP), ("expose-headers", "*")]);
    assert!(last.header("retry-after").is_some());
}

#[test]
fn origins_that_are_none_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().to_str().unwrap();
    for (origin, word) in [
        (
            "app.example.com",
            "--cors-origin (or UNBLOCK_CORS_ORIGIN): found \"app.example.com\", expected an origin such as",
        ),
        ("https://app.example.com/", "as browsers write it: https://app.example.com"),
        ("https://a.example,*", "expected it alone"),
        ("https://*.example.com", "each origin by itself"),
        ("null", "every sandboxed page"),
    ] {
        let flags = ["serve", "--tasks", tasks, "--listen", "127.0.0.1:0", "--cors-origin", origin];
        let ended = run(&flags, b"");
        assert!(ended.code == Some(2) && ended.stderr.contains(word), "{}", ended.stderr);
    }
}
