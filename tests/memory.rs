//! The memory of the whole process: what calls hold together stays within one budget, whoever they are.
//!
//! What a run starts with is charged before it starts, growth when it happens, bodies while they are
//! held. Who finds nothing left is told to come back, and everything is given back at the end.

use crate::support::crowd::{Caller, Crowd, LOOPS_MANIFEST};
use crate::support::guests::typed;
use crate::support::process::Program;
use crate::support::{Gateway, Reply, Server, client, eventually};
use serde_json::json;
use std::time::Duration;

/// Starts with 1 MiB.
const KEEPS: &str = include_str!("guests/keeps.wat");

/// What a run costs beside its memories.
const OVERHEAD: u64 = 64 << 10;

const MIB: u64 = 1 << 20;

fn keeps(budget: u64) -> Server {
    Gateway::new()
        .wat("keeps", KEEPS)
        .manifest("keeps", LOOPS_MANIFEST)
        .set(move |config| config.memory_bytes = budget)
        .start()
}

fn full(reply: &Reply, budget: &str) {
    let problem = reply.problem(503, "memory-full");
    assert_eq!(problem["limit"], json!({ "name": "memory-budget", "value": budget }), "{problem:#}");
    assert!(problem["detail"].as_str().unwrap().contains("--memory-budget"), "{problem:#}");
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn what_a_run_starts_with_is_charged_before_it_starts() {
    let alone = Crowd::alone();
    let server = keeps(4 * MIB);
    let mut holding: Vec<_> = (0..3).map(|_| Caller::get(&server, "/tasks/keeps/hold")).collect();
    eventually("three are in", || server.app().memory().held_bytes() == 3 * (MIB + OVERHEAD));
    full(&server.get("/tasks/keeps/fine").await, "4MiB");
    assert_eq!(server.app().memory().held_bytes(), 3 * (MIB + OVERHEAD), "the refused one holds nothing");
    holding.pop();
    eventually("one has gone", || server.app().memory().held_bytes() == 2 * (MIB + OVERHEAD));
    assert_eq!(server.get("/tasks/keeps/fine").await.ok(), "7");
    drop(holding);
    eventually("all is given back", || server.app().memory().held_bytes() == 0);
    drop(alone);
}

#[tokio::test]
async fn growth_is_refused_when_others_hold_the_rest_and_that_is_not_the_tasks_fault() {
    let alone = Crowd::alone();
    let server = keeps(8 * MIB);
    assert_eq!(server.get("/tasks/keeps/take?0=64").await.status, 204);
    let keeping = Caller::get(&server, "/tasks/keeps/keep?0=64");
    eventually("it holds 5 MiB", || server.app().memory().held_bytes() == 5 * MIB + OVERHEAD);
    full(&server.get("/tasks/keeps/take?0=64").await, "8MiB");
    assert_eq!(server.get("/tasks/keeps/ask?0=64").await.ok(), "-1", "a guest may go on without");
    assert_eq!(server.get("/tasks/keeps/ask?0=16").await.ok(), "16", "what is left may be taken");
    drop(keeping);
    eventually("all is given back", || server.app().memory().held_bytes() == 0);
    assert_eq!(server.get("/tasks/keeps/take?0=64").await.status, 204);
    drop(alone);
}

fn giant(budget: u64) -> Server {
    let wit = "package t:t; world w { export text: func(n: u32) -> string; \
               export numbers: func(n: u32) -> list<u32>; export count: func(xs: list<u32>) -> u32; }";
    let giant = typed(wit, include_str!("guests/giant.wat"));
    Gateway::new().file("giant.wasm", giant).set(move |config| config.memory_bytes = budget).start()
}

#[tokio::test]
async fn a_result_is_charged_until_its_reader_has_taken_it() {
    let server = giant(100 * MIB);
    // More than the socket's buffers take.
    let length = 16_000_000;
    let slow = Caller::get(&server, &format!("/tasks/giant/text?n={length}"));
    eventually("only the result is left", || {
        server.pool().permits == 0 && server.app().memory().held_bytes() == length
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.app().memory().held_bytes(), length, "nobody has read it");
    assert!(slow.answer().len() as u64 > length);
    eventually("all is given back", || server.app().memory().held_bytes() == 0);
}

#[tokio::test]
async fn bodies_are_charged_too() {
    // A run of this guest starts with 257 pages.
    let server = giant(17 * MIB);
    let post = |numbers: usize| {
        let body = format!("[[0{}]]", ",0".repeat(numbers - 1));
        let url = server.url("/tasks/giant/count");
        server.send(client().post(url).header("content-type", "application/json").body(body))
    };
    assert_eq!(post(100_000).await.ok(), "100000");
    full(&post(1_000_000).await, "17MiB");
    assert_eq!(server.get("/tasks/giant/text?n=1048576").await.ok().len(), 1 << 20);
    eventually("all is given back", || server.app().memory().held_bytes() == 0);
}

#[tokio::test]
async fn a_crowd_of_hungry_guests_keeps_the_process_within_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keeps.wat"), KEEPS).unwrap();
    // The CPU limit is for the loops that follow the writing.
    std::fs::write(folder.path().join("keeps.toml"), "[limits]\ncpu = \"1s\"\nwall = \"20s\"\n").unwrap();
    let program = Program::serve(folder.path(), &["--memory-budget", "128MiB"]).await;
    let before = program.peak_kib();
    let url = program.url("/tasks/keeps/keep?0=320");
    let calls = (0..24).map(|_| client().get(&url).timeout(Duration::from_secs(60)).send());
    let mut kinds = std::collections::BTreeMap::new();
    for answer in futures_util::future::join_all(calls).await {
        let problem: serde_json::Value = answer.unwrap().json().await.unwrap();
        *kinds.entry(problem["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    // 6 of 21 MiB fit at a time.
    let (stopped, refused) = (kinds["/problems/cpu-exceeded"], kinds["/problems/memory-full"]);
    assert!(stopped >= 6 && refused >= 1 && stopped + refused == 24, "{kinds:?}");
    let grown = program.peak_kib().saturating_sub(before);
    assert!(grown > 100 << 10, "{grown} KiB: they did write to their memory");
    assert!(grown < 160 << 10, "{grown} KiB more, with a budget of 128 MiB");
    assert_eq!(program.text("/tasks/keeps/fine").await, "7");
}

/// Fills most of its stack, and loops down there.
const DEEP: &str = r#"(module (func $down (param i32)
  (if (i32.eqz (local.get 0)) (then (loop $again (br $again))))
  (call $down (i32.sub (local.get 0) (i32.const 1))))
  (func (export "fill") (call $down (i32.const 15000))))"#;

#[tokio::test]
async fn stacks_that_were_filled_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deep.wat"), DEEP).unwrap();
    std::fs::write(folder.path().join("deep.toml"), "[limits]\ncpu = \"30ms\"\nwall = \"30s\"\n").unwrap();
    let program = Program::serve(folder.path(), &[]).await;
    assert!(program.text("/tasks/deep/fill").await.contains("cpu-exceeded"));
    let before = program.resident_kib();
    let url = program.url("/tasks/deep/fill");
    let calls = (0..64).map(|_| client().get(&url).timeout(Duration::from_secs(60)).send());
    for answer in futures_util::future::join_all(calls).await {
        let problem: serde_json::Value = answer.unwrap().json().await.unwrap();
        assert_eq!(problem["type"], "/problems/cpu-exceeded", "{problem:#}");
    }
    let peak = program.peak_kib().saturating_sub(before);
    assert!(peak > 30 << 10, "{peak} KiB: they did fill their stacks");
    eventually("the stacks are given back", || program.resident_kib() < before + (10 << 10));
}
