//! The live page and what it lives on: `/state` and `/events`.

use crate::access::Tokens;
use crate::support::crowd::{LOOPS, LOOPS_MANIFEST};
use crate::support::process::Program;
use crate::support::{Gateway, Server, client, repository, until};
use serde_json::Value;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// What the page may weigh on the wire.
const WEIGHT_BYTES_MAX: usize = 150_000;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A stream of events as its reader sees it.
struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    async fn of(server: &Server) -> Self {
        Self::open(client().get(server.url("/events"))).await
    }

    async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, buffer: String::new() }
    }

    /// The next one: its name and its document; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (name, data) = event.split_once('\n').unwrap();
                let name = name.strip_prefix("event: ").unwrap().to_owned();
                let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                self.buffer = rest.to_owned();
                return Some((name, data));
            }
            let piece = self.response.chunk().await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The first tick that is like that.
    async fn tick(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..120 {
            let (name, tick) = self.next().await.expect("it goes on");
            if name == "tick" && holds(&tick) {
                return tick;
            }
        }
        panic!("no such tick within a minute");
    }
}

fn task<'v>(document: &'v Value, name: &str) -> Option<&'v Value> {
    document["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name)
}

#[tokio::test]
async fn browsers_get_the_page_and_programs_the_greeting() {
    let server = Gateway::new().start();
    let asked =
        async |accept: &str| server.send(client().get(server.url("/")).header("accept", accept)).await;
    for accept in ["*/*", "text/plain", "application/json"] {
        let reply = asked(accept).await;
        assert!(reply.ok().starts_with("Hello, world "), "{accept}");
        assert_eq!(reply.header("vary"), Some("accept"));
    }
    let page = asked(BROWSER).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.headers.get_all("vary").iter().any(|value| value == "accept"), "{:?}", page.headers);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let html = page.ok();
    assert!(!html.contains("//") && !html.contains("style=") && !html.contains(" on"), "{html}");
    // Every script is one of the server's files.
    assert_eq!(html.matches("<script").count(), html.matches("<script src=\"page/").count());
    let request = client().get(server.url("/")).header("accept", BROWSER);
    let tag = page.header("etag").unwrap();
    assert_eq!(server.send(request.header("if-none-match", tag)).await.status, 304);
    server.get("/page/nothing.js").await.problem(404, "unknown-path");
    server.get("/page/..%2fCargo.toml").await.problem(404, "unknown-path");
    server.post("/page/app.js", "").await.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn the_page_weighs_little_and_names_only_files_that_are_there() {
    let server = Gateway::new().start();
    let (mut bytes, mut seen) = (0, Vec::<String>::new());
    let mut wanted = vec![String::new()];
    while let Some(name) = wanted.pop() {
        if seen.contains(&name) {
            continue;
        }
        let path = if name.is_empty() { "/".to_owned() } else { format!("/page/{name}") };
        let request = || client().get(server.url(&path)).header("accept", BROWSER);
        let compressed = server.send(request().header("accept-encoding", "gzip")).await;
        assert_eq!(compressed.status, 200, "{path}");
        bytes += compressed.body.len();
        let text = server.send(request()).await.text();
        // What the page and its modules load.
        wanted.extend(text.split('"').filter_map(|part| part.strip_prefix("page/")).map(str::to_owned));
        if name.ends_with(".js") && name != "uplot.js" {
            let imports = text.split('"').filter_map(|part| part.strip_prefix("./"));
            wanted.extend(imports.map(str::to_owned));
        }
        seen.push(name);
    }
    assert!(seen.len() > 10 && seen.contains(&"charts.js".to_owned()), "{seen:?}");
    assert!(bytes < WEIGHT_BYTES_MAX, "{bytes} bytes");
    let vendored = std::fs::read(repository().join("gateway/src/http/page/vendor/LICENSE")).unwrap();
    assert_eq!(server.get("/page/uplot.txt").await.body, vendored, "its notice goes with it");
}

#[tokio::test]
async fn the_state_is_what_the_document_says_and_a_tick_the_same_without_its_past() {
    let broken = "(module (func (export \"f\") i32.bad))";
    let server = Gateway::new().sample("sleep").wat("broken", broken).wat("loops", LOOPS);
    let server = server.manifest("loops", LOOPS_MANIFEST).start();
    let caller = tokio::spawn(client().get(server.url("/tasks/loops/endless")).send());
    server.get("/sleep/0.01").await.ok();
    let document = server.get("/openapi.json").await.json();
    let mut root = document["components"]["schemas"]["State"].clone();
    root["components"] = document["components"].clone();
    let mistakes = |schema: &Value, value: &Value| -> Vec<String> {
        let schema = jsonschema::draft202012::new(schema).unwrap();
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    };
    until("all of it is there", async || {
        let state = server.get("/state").await.json();
        assert_eq!(mistakes(&root, &state), Vec::<String>::new(), "{state:#}");
        let ended = task(&state, "sleep").is_some_and(|task| !task["p99_ms"].is_null());
        ended && !state["calls"].as_array().unwrap().is_empty() && !state["latency_ms"].is_null()
    })
    .await;
    let state = server.get("/state").await.json();
    assert_eq!(state["failures"][0]["file"], "broken.wat");
    let known = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(known(&state), known(&root["properties"]), "every member is described");
    let mut events = Events::of(&server).await;
    let (name, first) = events.next().await.unwrap();
    assert_eq!((name.as_str(), known(&first)), ("state", known(&state)));
    let tick = events.tick(|_| true).await;
    let missing: Vec<String> = known(&state).into_iter().filter(|name| tick.get(name).is_none()).collect();
    assert_eq!(missing, ["heat_bounds_ms", "history"]);
    assert_eq!(tick["tasks_gone"], serde_json::json!([]));
    caller.abort();
}

#[tokio::test]
async fn a_stream_tells_who_runs_where_which_tasks_changed_and_which_are_gone() {
    let server = Gateway::new().set(|config| config.workers = NonZeroUsize::new(2).unwrap());
    let server = server.wat("loops", LOOPS).manifest("loops", LOOPS_MANIFEST).sample("sleep").start();
    // They may have been loaded after the last sample.
    let sampled = async || server.get("/state").await.json()["tasks"].as_array().map(Vec::len) == Some(2);
    until("both tasks are sampled", sampled).await;
    let mut events = Events::of(&server).await;
    let (name, state) = events.next().await.unwrap();
    assert_eq!((name.as_str(), state["tasks"].as_array().map(Vec::len)), ("state", Some(2)));
    let request = client().get(server.url("/tasks/loops/endless")).header("x-request-id", "loop-1");
    let caller = tokio::spawn(request.send());
    let runs =
        |tick: &Value| tick["workers"].as_array().unwrap().iter().any(|worker| worker["id"] == "loop-1");
    let tick = events.tick(runs).await;
    assert_eq!((tick["in_flight"].as_u64(), tick["calls"][0]["id"].as_str()), (Some(1), Some("loop-1")));
    let seen =
        events.tick(|tick| task(tick, "loops").is_some_and(|of| of["cpu_share"].as_f64() > Some(0.1))).await;
    assert_eq!(task(&seen, "loops").unwrap()["running"], 1);
    assert!(task(&seen, "sleep").is_none(), "a task without calls says nothing");
    caller.abort();
    events.tick(|tick| task(tick, "loops").is_some_and(|task| task["cancelled"] == 1)).await;
    for _ in 0..3 {
        server.get("/sleep/0.001").await.ok();
    }
    let seen = events.tick(|tick| task(tick, "sleep").is_some_and(|task| task["calls"] == 3)).await;
    assert!(!seen["heat"].as_array().unwrap().is_empty() || task(&seen, "sleep").unwrap()["running"] != 0);
    std::fs::remove_file(server.folder().join("loops.wat")).unwrap();
    events.tick(|tick| tick["tasks_gone"] == serde_json::json!(["loops"])).await;
}

#[tokio::test]
async fn only_so_many_watch_at_once_and_who_leaves_makes_room() {
    let server = Gateway::new().start();
    let client = client();
    let open = async || client.get(server.url("/events")).send().await.unwrap();
    let mut viewers = Vec::new();
    for _ in 0..256 {
        let response = open().await;
        assert_eq!(response.status(), 200);
        viewers.push(response);
    }
    let refused = server.get("/events").await;
    let problem = refused.problem(503, "queue-full");
    assert!(problem["detail"].as_str().unwrap().contains("256 viewers"), "{problem:#}");
    assert_eq!(refused.header("retry-after"), Some("5"));
    server.get("/state").await.ok();
    viewers.truncate(200);
    until("there is room again", async || open().await.status() == 200).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_gateway_and_holds_it_up_by_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::serve(folder.path(), &[]).await;
    let mut events = Events::open(client().get(program.url("/events"))).await;
    events.tick(|_| true).await;
    let begun = Instant::now();
    program.terminate();
    while events.next().await.is_some() {}
    assert!(program.wait().success());
    // Two seconds are what a connection that does not end is given.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_page_is_open_and_what_it_shows_is_not() {
    let tokens = Tokens::new();
    let (id, reads) = tokens.make(None, &["read"], None);
    let calls = tokens.with(&["call:*"]);
    let server = tokens.guard(Gateway::new()).start();
    let request = |path: &str| client().get(server.url(path)).header("accept", BROWSER);
    let with = |path: &str, token: &str| request(path).bearer_auth(token);
    for path in ["/", "/page/app.js", "/page/style.css"] {
        server.send(request(path)).await.ok();
    }
    for path in ["/state", "/events"] {
        server.send(request(path)).await.problem(401, "unauthorized");
        server.send(with(path, &calls)).await.problem(403, "forbidden");
    }
    server.send(with("/state", &reads)).await.ok();
    let mut events = Events::open(with("/events", &reads)).await;
    events.tick(|_| true).await;
    tokens.revoke(&id);
    // A token that is taken back ends what it began.
    while events.next().await.is_some() {}
}
