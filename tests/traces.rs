//! Traces of calls as a collector gets them, and how they are carried on: to guests, and to whom they ask.

use crate::support::collector::{Collector, Span};
use crate::support::process::{Program, unblock};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, LOADING, PATIENCE, Reply, Server, client, guest, until, until_within};
use gateway::traces::{Protocol, Sampling, Settings};
use serde_json::{Value, json};
use std::time::Instant;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

const TASK: &str = r#"(module
  (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "fail") unreachable)
  (func (export "spin") (loop (br 0))))"#;

const ROUTE: &str = "[limits]\nwall = \"20s\"\ncpu = \"20s\"\n[[route]]\nmethod = \"GET\"\npath = \"/twice/{n}\"\n\
    function = \"double\"\n[functions.double]\nparams = [\"n\"]\n";

fn traced(gateway: Gateway, collector: &Collector, sampling: Sampling) -> Server {
    let endpoint = format!("{}/v1/traces", collector.url());
    let settings = Settings { endpoint, protocol: Protocol::Http, sampling, service: None };
    gateway.set(move |config| config.traces = Some(settings)).start()
}

/// A trace that a caller begins: its id, and what to send.
fn began(digit: char, sampled: bool) -> (String, String) {
    let trace: String = std::iter::repeat_n(digit, 32).collect();
    let parent = format!("00-{trace}-00f067aa0ba902b7-{}", if sampled { "01" } else { "00" });
    (trace, parent)
}

async fn get(server: &Server, path: &str, traceparent: &str) -> Reply {
    server.send(client().get(server.url(path)).header("traceparent", traceparent)).await
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

#[tokio::test]
async fn a_call_is_a_span_below_its_callers_with_a_child_for_each_phase() {
    let collector = Collector::http();
    let gateway = Gateway::new().wat("task", TASK).manifest("task", ROUTE);
    let server = traced(gateway, &collector, Sampling::default());
    let (trace, parent) = began('1', true);
    let request = client().get(server.url("/twice/77777?")).header("traceparent", parent);
    let request = request.header("tracestate", "shop=1").header("x-request-id", "mine");
    assert_eq!(server.send(request).await.ok(), "155554");
    let spans = collector.trace(&trace, SERVER).await;
    let call = only(&spans, "GET /twice/{n}");
    assert_eq!((call.parent.as_str(), call.state.as_str(), call.status), ("00f067aa0ba902b7", "shop=1", 0));
    for (attribute, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/twice/{n}"),
        ("url.path", "/twice/{n}"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("server.address", "127.0.0.1"),
        ("unblock.call.id", "mine"),
        ("unblock.task.function", "double"),
        ("unblock.outcome", "ok"),
        ("unblock.sent_bytes", "6"),
        ("unblock.slices", "1"),
    ] {
        assert_eq!(call.of(attribute), value, "{attribute} of {call:#?}");
    }
    assert!(call.of("unblock.task.version").starts_with("task@"), "{call:#?}");
    assert_eq!(call.of("server.port"), server.app().address().port().to_string());
    assert!(!call.attributes.contains_key("error.type"), "{call:#?}");
    assert_eq!(call.resource["service.name"], "unblock");
    let mut before = call.start;
    for name in ["queue", "instantiate", "run", "encode"] {
        let phase = only(&spans, name);
        assert_eq!((&phase.parent, phase.kind), (&call.id, 1), "{name}");
        assert!(before <= phase.start && phase.start < phase.end, "{name}: {spans:#?}");
        before = phase.end;
    }
    assert!(before <= call.end, "{spans:#?}");
    let all = format!("{spans:?}");
    assert!(!all.contains("77777") && !all.contains("155554"), "what a caller sent or got: {all}");
}

#[tokio::test]
async fn a_failure_is_an_error_of_the_server_unless_it_is_the_callers() {
    let collector = Collector::http();
    let gateway = Gateway::new().wat("task", TASK).manifest("task", ROUTE);
    let server = traced(gateway, &collector, Sampling::default());
    for (digit, path, status, problem, error) in [
        ('1', "/tasks/task/fail", 500, "trap", true),
        ('2', "/tasks/task/double?n=x", 400, "bad-arguments", false),
        ('3', "/tasks/task/double?n=1&n=%ff", 400, "bad-arguments", false),
    ] {
        let (trace, parent) = began(digit, true);
        get(&server, path, &parent).await.problem(status, problem);
        let spans = collector.trace(&trace, SERVER).await;
        let call = spans.iter().find(|span| span.kind == SERVER).unwrap();
        assert_eq!(call.of("http.response.status_code"), status.to_string());
        assert_eq!(call.of("unblock.outcome"), problem);
        assert_eq!((call.status == ERROR, call.of("error.type") == problem), (error, error), "{call:#?}");
    }
    // A caller who goes gets no status.
    let (trace, parent) = began('4', true);
    let request = client().get(server.url("/tasks/task/spin")).header("traceparent", parent);
    let caller = tokio::spawn(request.send());
    until("it runs", async || server.pool().running == 1).await;
    caller.abort();
    let spans = collector.trace(&trace, SERVER).await;
    let call = only(&spans, "GET /tasks/task/spin");
    assert_eq!((call.of("unblock.outcome"), call.of("http.response.status_code")), ("cancelled", ""));
}

#[tokio::test]
async fn the_caller_decides_whether_it_is_traced_else_the_gateway() {
    let collector = Collector::http();
    let server = traced(Gateway::new().wat("task", TASK), &collector, Sampling { parent: true, part: 0.0 });
    let (not, parent) = began('5', false);
    get(&server, "/tasks/task/double?0=1", &parent).await.ok();
    server.get("/tasks/task/double?0=1").await.ok();
    get(&server, "/tasks/task/double?0=1", "00-nonsense").await.ok();
    let (traced, parent) = began('6', true);
    get(&server, "/tasks/task/double?0=1", &parent).await.ok();
    collector.trace(&traced, SERVER).await;
    let others: Vec<Span> = collector.spans().into_iter().filter(|span| span.trace != traced).collect();
    assert!(others.is_empty(), "{not}: {others:#?}");
}

/// A gateway with guests that ask the upstream, and show what they are asked.
fn asking(upstream: &Upstream) -> Gateway {
    let grants = format!("[grants]\nhttp = [\"{}\"]\n", upstream.address);
    Gateway::new()
        .file("probe.wasm", guest("probe"))
        .manifest("probe", &grants)
        .file("http-p2.wasm", guest("http-p2"))
        .manifest("http-p2", &grants)
        .file("http-p3.wasm", guest("http-p3"))
}

async fn fetch(server: &Server, parent: Option<&str>, url: &str, headers: Value) -> Reply {
    let extra = json!({ "method": null, "headers": headers, "body": null, "connect": null, "first-byte": null, "between-bytes": null });
    let body = json!({ "url": url, "extra": extra }).to_string();
    let request = client().post(server.url("/tasks/probe/fetch")).header("content-type", "application/json");
    let request = parent.into_iter().fold(request, |request, parent| request.header("traceparent", parent));
    server.send(request.body(body)).await
}

/// What the upstream was told last.
fn told(upstream: &Upstream) -> Vec<String> {
    let head = upstream.heads().pop().unwrap().to_ascii_lowercase();
    head.lines().filter_map(|line| line.strip_prefix("traceparent: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_guests_request_is_a_span_that_its_upstream_is_told_of() {
    let (collector, upstream) = (Collector::http(), Upstream::start());
    let server = traced(asking(&upstream), &collector, Sampling::default());
    let (trace, parent) = began('7', true);
    fetch(&server, Some(&parent), &upstream.url("/hello"), json!([])).await.ok();
    let spans = collector.trace(&trace, SERVER).await;
    let call = only(&spans, "POST /tasks/probe/fetch");
    let request = only(&spans, "GET");
    assert_eq!((request.kind, &request.parent), (CLIENT, &call.id));
    assert_eq!(told(&upstream), [format!("00-{trace}-{}-01", request.id)]);
    let port = upstream.address.port().to_string();
    for (attribute, value) in [
        ("http.request.method", "GET"),
        ("server.address", "127.0.0.1"),
        ("server.port", &*port),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("error.type", ""),
    ] {
        assert_eq!(request.of(attribute), value, "{request:#?}");
    }
    assert!(call.start <= request.start && request.end <= call.end, "{spans:#?}");
    assert!(
        !format!("{spans:?}").contains("/hello"),
        "what is asked for may be the caller's secret: {spans:#?}"
    );

    // What the guest says of a span of its own in this trace is believed, of another trace is not.
    let (trace, parent) = began('8', true);
    let own = format!("00-{trace}-1111111111111111-01");
    fetch(&server, Some(&parent), &upstream.url("/hello"), json!([["traceparent", own]])).await.ok();
    let spans = collector.trace(&trace, SERVER).await;
    let request = only(&spans, "GET");
    assert_eq!(request.parent, "1111111111111111");
    assert_eq!(told(&upstream), [format!("00-{trace}-{}-01", request.id)]);
    let (other, foreign) = began('a', true);
    let (trace, parent) = began('9', true);
    fetch(&server, Some(&parent), &upstream.url("/hello"), json!([["traceparent", foreign]])).await.ok();
    let spans = collector.trace(&trace, SERVER).await;
    assert_eq!(only(&spans, "GET").parent, only(&spans, "POST /tasks/probe/fetch").id);
    assert!(told(&upstream)[0].contains(&trace) && collector.spans().iter().all(|span| span.trace != other));

    // Refused, failed, and answered with an error by a server.
    let (nonsense, cut) = (upstream.url("/nonsense"), upstream.url("/cut"));
    for (digit, url, error, status) in [
        ('b', "http://api.example.com/", "HttpRequestDenied", ""),
        ('c', &*nonsense, "HttpProtocolError", ""),
        ('d', &*cut, "HttpResponseIncomplete", "200"),
    ] {
        let (trace, parent) = began(digit, true);
        fetch(&server, Some(&parent), url, json!([])).await.problem(422, "task-error");
        let spans = collector.trace(&trace, SERVER).await;
        let request = only(&spans, "GET");
        assert_eq!(
            (request.of("http.response.status_code"), request.status),
            (status, ERROR),
            "{request:#?}"
        );
        assert!(!request.of("error.type").is_empty(), "{request:#?}");
        if digit != 'd' {
            assert_eq!(request.of("error.type"), error);
        }
    }

    // Not traced, and carried on all the same.
    let (trace, parent) = began('e', false);
    fetch(&server, Some(&parent), &upstream.url("/hello"), json!([])).await.ok();
    let told = told(&upstream);
    assert!(
        told.len() == 1 && told[0].starts_with(&format!("00-{trace}-")) && told[0].ends_with("-00"),
        "{told:?}"
    );
    assert!(!told[0].contains("00f067aa0ba902b7"), "its parent is the call: {told:?}");
}

#[tokio::test]
async fn a_guest_of_http_is_told_of_the_call_it_serves() {
    let (collector, upstream) = (Collector::http(), Upstream::start());
    let server = traced(asking(&upstream), &collector, Sampling::default());
    for (digit, name) in [('1', "http-p2"), ('2', "http-p3")] {
        let (trace, parent) = began(digit, true);
        let request = client().get(server.url(&format!("/tasks/{name}/zz7/tell?q=8")));
        let request = request.header("traceparent", parent).header("tracestate", "shop=1");
        let reply = server.send(request).await;
        let spans = collector.trace(&trace, SERVER).await;
        let call = spans.iter().find(|span| span.kind == SERVER).unwrap();
        assert_eq!(call.name, format!("GET /tasks/{name}/{{*path}}"));
        assert_eq!(call.of("http.response.status_code"), reply.status.to_string());
        assert!(!format!("{spans:?}").contains("zz7"), "{spans:#?}");
        let text = reply.ok();
        assert!(text.contains(&format!("header traceparent: 00-{trace}-{}-01\n", call.id)), "{text}");
        assert!(text.contains("header tracestate: shop=1\n"), "{text}");
    }
}

#[tokio::test]
async fn without_a_collector_nothing_is_added_or_taken_off() {
    let upstream = Upstream::start();
    let server = asking(&upstream).start();
    let (_, parent) = began('1', true);
    fetch(&server, Some(&parent), &upstream.url("/hello"), json!([])).await.ok();
    assert_eq!(told(&upstream), [""; 0]);
    fetch(&server, None, &upstream.url("/hello"), json!([["traceparent", parent]])).await.ok();
    assert_eq!(told(&upstream), std::slice::from_ref(&parent));
    let text = get(&server, "/tasks/http-p2/tell", &parent).await.ok();
    assert!(text.contains(&format!("header traceparent: {parent}\n")), "{text}");
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("task.wat"), TASK).unwrap();
    folder
}

async fn serve(folder: &tempfile::TempDir, variables: &[(&str, &str)], flags: &[&str]) -> Program {
    let mut command = unblock();
    command.envs(variables.iter().copied());
    let program = Program::start_with(command, folder.path(), flags);
    until_within(LOADING, "readiness", async || program.status("/readyz").await == Some(200)).await;
    program
}

#[tokio::test]
async fn the_standard_variables_name_a_collector_and_what_waits_is_sent_at_the_end() {
    let folder = folder();
    for (protocol, collector) in [("grpc", Collector::grpc()), ("http/protobuf", Collector::http())] {
        let url = collector.url();
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ];
        let mut program = serve(&folder, &variables, &[]).await;
        let before = collector.spans().len();
        assert_eq!(program.text("/tasks/task/double?0=4").await, "8");
        program.terminate();
        assert_eq!(program.wait().code(), Some(0), "{}", program.log());
        let spans = collector.spans();
        assert_eq!(before, 0);
        let call = only(&spans, "GET /tasks/task/double");
        assert_eq!(call.parent, "", "a root");
        assert_eq!(call.resource["service.name"], "shop", "{protocol}");
        assert_eq!(call.resource["deployment.environment.name"], "test", "{protocol}");
        assert_eq!(spans.iter().filter(|span| span.parent == call.id).count(), 4, "{protocol}: {spans:#?}");
    }
    // The flag comes first, and says no.
    let collector = Collector::http();
    let url = collector.url();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let mut program = serve(&folder, &variables, &["--traces", "off"]).await;
    assert_eq!(program.text("/tasks/task/double?0=4").await, "8");
    program.terminate();
    assert_eq!(program.wait().code(), Some(0));
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn a_collector_that_refuses_or_hangs_harms_nobody() {
    let folder = folder();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // It takes connections, by its backlog, and says nothing.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (what, address) in [("refuses", closed), ("hangs", hangs.local_addr().unwrap())] {
        for protocol in ["grpc", "http/protobuf"] {
            let url = format!("http://{address}");
            let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
            let mut program = serve(&folder, &variables, &["--traces", &url, "--grace", "2s"]).await;
            for _ in 0..50 {
                assert_eq!(program.text("/tasks/task/double?0=4").await, "8", "{what}");
            }
            let begun = Instant::now();
            program.terminate();
            assert_eq!(program.wait().code(), Some(0), "{what} {protocol}: {}", program.log());
            assert!(begun.elapsed() < PATIENCE / 2, "{what} {protocol}: {:?}", begun.elapsed());
            let log = program.log();
            assert!(log.contains("spans did not reach") && log.contains(&url), "{what} {protocol}: {log}");
            assert!(log.contains("stopped"), "{what} {protocol}: {log}");
        }
    }
}

/// Variables, flags, and what is told of them.
type Mistake = (&'static [(&'static str, &'static str)], &'static [&'static str], &'static str);

#[test]
fn a_mistake_in_the_settings_of_traces_is_told_at_the_start() {
    let folder = folder();
    let serve = |variables: &[(&str, &str)], flags: &[&str]| {
        let mut command = unblock();
        command.args(["serve", "--listen", "127.0.0.1:0", "--tasks"]).arg(folder.path()).args(flags);
        crate::support::process::ended(command.envs(variables.iter().copied()), b"")
    };
    let cases: [Mistake; 6] = [
        (&[], &["--traces", "localhost:4317"], "--traces (or UNBLOCK_TRACES): found \"localhost:4317\""),
        (&[], &["--traces", "https://collector"], "expected http://"),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"), ("OTEL_TRACES_SAMPLER", "some")],
            &[],
            "OTEL_TRACES_SAMPLER: found \"some\"",
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"),
                ("OTEL_TRACES_SAMPLER", "traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ],
            &[],
            "OTEL_TRACES_SAMPLER_ARG: found \"2\"",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
            &[],
            "OTEL_EXPORTER_OTLP_PROTOCOL: found \"http/json\"",
        ),
        (&[], &["--log-calls", "some"], "--log-calls (or UNBLOCK_LOG_CALLS): found \"some\""),
    ];
    for (variables, flags, words) in cases {
        let ended = serve(variables, flags);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
