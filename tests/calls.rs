//! Calls as those see them who look after the tasks: in flight, and the last ones of each task.

use crate::support::crowd::{LOOPS, LOOPS_MANIFEST};
use crate::support::{Gateway, Server, client, guest, until};
use serde_json::Value;
use std::num::NonZeroUsize;

const FAULTY: &str = r#"(module
  (memory (export "memory") 3)
  (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $deep unreachable)
  (func (export "fail") call $deep)
  (func (export "spin") (loop (br 0))))"#;

fn server() -> Server {
    let limits = "[limits]\nwall = \"20s\"\ncpu = \"20s\"\n";
    Gateway::new()
        .set(|config| config.workers = NonZeroUsize::new(2).unwrap())
        .wat("faulty", FAULTY)
        .manifest("faulty", limits)
        .start()
}

async fn ended(server: &Server, task: &str) -> Vec<Value> {
    server.get(&format!("/tasks/{task}/-/calls")).await.json()["ended"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_call_that_ended_leaves_its_sizes_and_times_and_nothing_of_its_caller() {
    let server = server();
    let request = client().post(server.url("/tasks/faulty/double")).header("x-request-id", "mine-1");
    let reply = server.send(request.header("content-type", "application/json").body("[77777]")).await;
    assert_eq!(reply.ok(), "155554");
    server.post("/tasks/faulty/double", r#"["secret"]"#).await.problem(400, "bad-arguments");
    let failed = server.get("/tasks/faulty/fail").await.problem(500, "trap");
    let ended = ended(&server, "faulty").await;
    let of = |name: &str| -> Vec<&str> { ended.iter().map(|call| call[name].as_str().unwrap()).collect() };
    assert_eq!(of("outcome"), ["trap", "bad-arguments", "ok"], "the newest first");
    assert_eq!(of("function"), ["fail", "double", "double"]);
    let first = &ended[2];
    assert_eq!((first["id"].as_str(), first["task"].as_str()), (Some("mine-1"), Some("faulty")));
    assert_eq!((first["received_bytes"].as_u64(), first["sent_bytes"].as_u64()), (Some(7), Some(6)));
    assert_eq!(first["memory_bytes"], 3 * 65_536);
    assert_eq!((first["slices"].as_u64(), first["level"].as_u64()), (Some(1), Some(0)));
    let ms = |name: &str| first[name].as_f64().unwrap();
    assert!(ms("total_ms") >= ms("run_ms") && ms("total_ms") < 20_000.0, "{first:#}");
    assert!(ms("instantiate_ms") > 0.0 && ms("cpu_ms") > 0.0, "{first:#}");
    assert!(first["started"].as_str().unwrap().ends_with('Z'), "{first:#}");
    assert!(first["version"].as_str().unwrap().starts_with("faulty@"), "{first:#}");

    let id = failed["call"].as_str().unwrap();
    let told = server.get(&format!("/calls/{id}")).await.json();
    assert_eq!((told["id"].as_str(), told["phase"].as_str()), (Some(id), Some("run")));
    assert_eq!(told["backtrace"], failed["backtrace"]);
    assert!(
        told["backtrace"].as_array().unwrap().iter().any(|frame| frame.as_str().unwrap().contains("deep"))
    );
    let all = server.get("/tasks/faulty/-/calls").await.text() + &server.get("/calls/mine-1").await.text();
    assert!(!all.contains("77777") && !all.contains("155554") && !all.contains("secret"), "{all}");

    let problem = server.get("/calls/never").await.problem(404, "unknown-call");
    assert!(problem["detail"].as_str().unwrap().contains("never"), "{problem:#}");
    server.get("/tasks/none/-/calls").await.problem(404, "unknown-task");
    let other = server.send(client().post(server.url("/tasks/faulty/-/calls"))).await;
    other.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn a_call_in_flight_is_seen_where_it_is_and_one_whose_caller_left_as_cancelled() {
    let server = server();
    let request = client().get(server.url("/tasks/faulty/spin")).header("x-request-id", "loop").send();
    let caller = tokio::spawn(request);
    let looping = async || -> Value { server.get("/calls/loop").await.json() };
    until("it runs", async || looping().await["state"] == "running").await;
    let first = looping().await;
    until("it goes on", async || looping().await["cpu_ms"].as_f64() > first["cpu_ms"].as_f64()).await;
    let seen = looping().await;
    assert!(seen["worker"].as_u64().is_none_or(|worker| worker < 2), "{seen:#}");
    until("it sinks", async || looping().await["level"].as_u64() > Some(0)).await;
    let all = server.get("/calls").await.json();
    assert_eq!((all["in_flight"].as_u64(), all["calls"][0]["id"].as_str()), (Some(1), Some("loop")));
    assert_eq!(server.get("/tasks/faulty/-/calls").await.json()["in_flight"], 1);
    caller.abort();
    until("it has ended", async || !ended(&server, "faulty").await.is_empty()).await;
    let call = server.get("/calls/loop").await.json();
    assert_eq!(call["outcome"], "cancelled", "{call:#}");
    assert!(call["cpu_ms"].as_f64() > Some(1.0) && call["slices"].as_u64() > Some(1), "{call:#}");
    assert_eq!(server.get("/calls").await.json()["in_flight"], 0);
    let counts = server.json_of("faulty").await["counts"].clone();
    assert_eq!((counts["calls"].as_u64(), counts["cancelled"].as_u64()), (Some(1), Some(1)));
}

#[tokio::test]
async fn what_waits_is_told_from_what_runs() {
    let server = Gateway::new().wat("loops", LOOPS).manifest("loops", LOOPS_MANIFEST).sample("sleep");
    let server = server.set(|config| config.workers = NonZeroUsize::new(1).unwrap()).start();
    let get = |path: &str| tokio::spawn(client().get(server.url(path)).send());
    let callers = [get("/sleep/60"), get("/tasks/loops/endless"), get("/tasks/loops/endless")];
    let states = async || -> Vec<String> {
        let calls = server.get("/calls").await.json();
        let mut states: Vec<String> = calls["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| call["state"].as_str().unwrap().to_owned())
            .collect();
        states.sort();
        states
    };
    until("one of each", async || states().await == ["parked", "queued", "running"]).await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn so_many_records_are_kept_as_the_operator_says() {
    let server = Gateway::new().wat("faulty", FAULTY).set(|config| config.observe.records = 3).start();
    for _ in 0..5 {
        server.get("/tasks/faulty/double?0=4").await.ok();
    }
    assert_eq!(ended(&server, "faulty").await.len(), 3);
    let none = Gateway::new().wat("faulty", FAULTY).set(|config| config.observe.records = 0).start();
    none.get("/tasks/faulty/double?0=4").await.ok();
    assert_eq!(ended(&none, "faulty").await.len(), 0);
    assert_eq!(none.json_of("faulty").await["counts"]["calls"], 1);
}

#[tokio::test]
async fn a_call_that_was_turned_away_pushes_no_record_out() {
    let limits = "[limits]\nconcurrency = 1\nqueue = 0\nwall = \"20s\"\ncpu = \"20s\"\n";
    let server = Gateway::new().wat("faulty", FAULTY).manifest("faulty", limits).start();
    server.get("/tasks/faulty/double?0=4").await.ok();
    let caller = tokio::spawn(client().get(server.url("/tasks/faulty/spin")).send());
    until("it runs", async || server.pool().permits == 1).await;
    for _ in 0..3 {
        server.get("/tasks/faulty/double?0=4").await.problem(503, "queue-full");
    }
    let ended = ended(&server, "faulty").await;
    assert_eq!((ended.len(), ended[0]["outcome"].as_str()), (1, Some("ok")));
    assert_eq!(server.json_of("faulty").await["counts"]["errors"], 3);
    caller.abort();
}

#[tokio::test]
async fn a_streamed_call_is_counted_in_both_directions() {
    let server = Gateway::new().file("flow.wasm", guest("flow")).start();
    let body = vec![b'y'; 300_000];
    let reply = server.send(client().post(server.url("/tasks/flow/upper")).body(body)).await;
    assert_eq!(reply.ok().len(), 300_000);
    until("its end", async || !ended(&server, "flow").await.is_empty()).await;
    let call = ended(&server, "flow").await.remove(0);
    assert_eq!(
        (call["received_bytes"].as_u64(), call["sent_bytes"].as_u64()),
        (Some(300_000), Some(300_000))
    );
    assert_eq!((call["function"].as_str(), call["outcome"].as_str()), (Some("upper"), Some("ok")));
}
