//! What a hostile guest gets: stopped, told why, and nobody else notices.
//!
//! Time (wall, CPU), memory (several memories, tables, stack), output, arguments, and the ways of
//! not being interruptible: host calls in a storm, bulk memory operations, a start function that
//! never returns. Each test also sees that the gateway answers as before.

use crate::support::crowd::{Caller, Crowd, LOOPS, LOOPS_MANIFEST, median, timing};
use crate::support::guests::typed;
use crate::support::process::Program;
use crate::support::{Gateway, Reply, Server, client, eventually, repository};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

const HUNGRY: &str = include_str!("guests/hungry.wat");
const FILL: &str = include_str!("hostile/fill.wat");
const STORM: &str = include_str!("guests/storm.wat");
const FLOOD: &str = include_str!("guests/flood.wat");
const GIANT: &str = include_str!("guests/giant.wat");

/// How late a stop may be on a machine that does other things too.
const LATE: Duration = Duration::from_secs(3);

fn two_workers() -> Gateway {
    Gateway::new().set(|config| config.workers = NonZeroUsize::new(2).unwrap())
}

/// A sample's module under another name and manifest.
fn sample_as(gateway: Gateway, sample: &str, name: &str, manifest: &str) -> Gateway {
    let module =
        std::fs::read(repository().join(format!("tasks/{sample}.wasm"))).expect("run `just build-tasks`");
    gateway.file(&format!("{name}.wasm"), module).manifest(name, manifest)
}

/// The innermost frames are these functions, whatever is said of their place.
#[track_caller]
fn traced(problem: &Value, names: &[&str]) {
    let frames = problem["backtrace"].as_array().unwrap_or_else(|| panic!("no backtrace: {problem:#}"));
    assert!(frames.len() >= names.len(), "{problem:#}");
    for (frame, name) in frames.iter().zip(names) {
        assert!(frame.as_str().unwrap().contains(name), "expected {name}: {problem:#}");
    }
}

/// The call of `path` that is stopped for its `limit`, and its problem.
async fn stopped(server: &Server, path: &str, slug: &str, limit: (&str, &str)) -> (Reply, Value) {
    let begin = Instant::now();
    let reply = server.get(path).await;
    let took = begin.elapsed();
    let problem = reply.problem(504, slug);
    assert_eq!(problem["limit"], json!({ "name": limit.0, "value": limit.1 }), "{problem:#}");
    assert_eq!(problem["blame"], "task", "{problem:#}");
    assert!(took < LATE, "{path} was stopped after {took:?}");
    eventually("nothing runs", || server.pool().permits == 0);
    (reply, problem)
}

#[tokio::test]
async fn the_wall_deadline_stops_a_loop_and_shows_where_it_was() {
    let server = Gateway::new().wat("loops", LOOPS).manifest("loops", "[limits]\nwall = \"200ms\"\n").start();
    let (_, problem) = stopped(&server, "/tasks/loops/endless", "deadline-exceeded", ("wall", "200ms")).await;
    assert_eq!(problem["phase"], "run", "{problem:#}");
    traced(&problem, &["spin", "middle", "endless"]);
    assert_eq!(server.get("/tasks/loops/short?0=1").await.ok(), "2");
}

#[tokio::test]
async fn the_wall_deadline_stops_a_sleep() {
    let server = sample_as(Gateway::new(), "sleep", "nap", "[limits]\nwall = \"200ms\"\n").start();
    let (reply, _) =
        stopped(&server, "/tasks/nap/sleep?seconds=60", "deadline-exceeded", ("wall", "200ms")).await;
    let cpu = timing(reply.header("server-timing").unwrap(), "cpu");
    assert!(cpu < 100.0, "sleeping took {cpu} ms of CPU time");
    assert!(server.get("/tasks/nap/sleep?seconds=0.01").await.ok().contains("Awake!"));
}

#[tokio::test]
async fn the_wall_deadline_stops_a_start_function() {
    let guest = include_str!("hostile/start-loops.wat");
    let server = Gateway::new().wat("start", guest).manifest("start", "[limits]\nwall = \"200ms\"\n").start();
    // It loaded, and loading did not run it.
    assert_eq!(server.get("/tasks").await.json()["failures"], json!([]));
    let (_, problem) = stopped(&server, "/tasks/start/answer", "deadline-exceeded", ("wall", "200ms")).await;
    assert_eq!(problem["phase"], "instantiate", "{problem:#}");
    traced(&problem, &["set_up"]);
}

#[tokio::test]
async fn the_wall_deadline_stops_a_reactors_set_up() {
    let guest = include_str!("hostile/initialize-loops.wat");
    let server = Gateway::new().wat("start", guest).manifest("start", "[limits]\nwall = \"200ms\"\n").start();
    let (_, problem) = stopped(&server, "/tasks/start/answer", "deadline-exceeded", ("wall", "200ms")).await;
    assert_eq!(problem["phase"], "instantiate", "{problem:#}");
    traced(&problem, &["set_up"]);
}

#[tokio::test]
async fn the_cpu_budget_stops_a_loop_and_shows_where_it_was() {
    let server = Gateway::new().wat("loops", LOOPS).manifest("loops", "[limits]\ncpu = \"100ms\"\n").start();
    let (reply, problem) = stopped(&server, "/tasks/loops/endless", "cpu-exceeded", ("cpu", "100ms")).await;
    traced(&problem, &["spin", "middle", "endless"]);
    let cpu = timing(reply.header("server-timing").unwrap(), "cpu");
    assert!((100.0..200.0).contains(&cpu), "it had {cpu} ms of CPU time");
}

#[tokio::test]
async fn neither_sleeping_nor_neighbours_cost_cpu_budget() {
    let gateway = two_workers().wat("loops", LOOPS).manifest("loops", LOOPS_MANIFEST);
    let server = sample_as(gateway, "sleep", "nap", "[limits]\ncpu = \"50ms\"\n").start();
    let crowd = Crowd::sunk(&server, "/tasks/loops/endless", 16);
    let reply = server.get("/tasks/nap/sleep?seconds=0.5").await;
    assert!(reply.ok().contains("Awake!"));
    let cpu = timing(reply.header("server-timing").unwrap(), "cpu");
    assert!(cpu < 50.0, "{cpu} ms");
    drop(crowd);
}

#[tokio::test]
async fn the_cpu_budget_counts_the_runs_own_time_while_others_run() {
    let manifest = "[limits]\ncpu = \"400ms\"\nwall = \"1m\"\n";
    let server = Gateway::new()
        .set(|config| config.workers = NonZeroUsize::MIN)
        .wat("loops", LOOPS)
        .manifest("loops", &format!("{LOOPS_MANIFEST}weight = 9\n"))
        .wat("honest", LOOPS)
        .manifest("honest", manifest)
        .start();
    let crowd = Crowd::sunk(&server, "/tasks/loops/endless", 8);
    // A fraction of its budget in CPU time; more than all of it by the clock, beside a task of nine times its weight.
    let begin = Instant::now();
    let reply = server.get("/tasks/honest/busy?0=100000000").await;
    let took = begin.elapsed();
    reply.ok();
    let cpu = timing(reply.header("server-timing").unwrap(), "cpu");
    drop(crowd);
    assert!(cpu < 400.0, "{cpu} ms");
    assert!(
        took.as_secs_f64() * 1000.0 > cpu * 3.0,
        "it had the worker to itself: {took:?}, {cpu} ms of CPU time"
    );
}

#[tokio::test]
async fn a_memory_bomb_is_refused_growth_and_told_its_limit() {
    let server =
        Gateway::new().wat("hungry", HUNGRY).manifest("hungry", "[limits]\nmemory = \"4MiB\"\n").start();
    let problem = server.get("/tasks/hungry/bomb").await.problem(500, "memory-exceeded");
    assert_eq!(problem["limit"], json!({ "name": "memory", "value": "4MiB" }), "{problem:#}");
    traced(&problem, &["hoard"]);
    // A crash of another sort is not blamed on memory, and the next run starts afresh.
    server.get("/tasks/hungry/crash").await.problem(500, "trap");
    assert_eq!(server.get("/tasks/hungry/fine").await.ok(), "7");
}

#[tokio::test]
async fn the_memories_of_a_run_are_summed() {
    let server =
        Gateway::new().wat("hungry", HUNGRY).manifest("hungry", "[limits]\nmemory = \"1MiB\"\n").start();
    // 16 pages in all, however they are divided; a guest that takes a no for an answer goes on.
    assert_eq!(server.get("/tasks/hungry/both").await.ok(), "16");
}

#[tokio::test]
async fn tables_count_as_memory() {
    let server =
        Gateway::new().wat("hungry", HUNGRY).manifest("hungry", "[limits]\nmemory = \"512KiB\"\n").start();
    // 8 pages less the 2 of the memories leave 384 KiB: 49,152 elements of 8 bytes, and no page more.
    assert_eq!(server.get("/tasks/hungry/table").await.ok(), "[49152,-1]");
}

#[tokio::test]
async fn a_module_that_starts_over_its_limit_is_refused_at_load() {
    let server = Gateway::new().wat("fill", FILL).manifest("fill", "[limits]\nmemory = \"16MiB\"\n").start();
    let list = server.get("/tasks").await.json();
    let failure = &list["failures"][0];
    assert!(failure["reason"].as_str().unwrap().contains("starts with 64MiB of memory"), "{list:#}");
    assert!(failure["remedies"][0].as_str().unwrap().contains("raise memory to \"64MiB\""), "{list:#}");
    let problem = server.get("/tasks/fill/fill").await.problem(503, "bad-module");
    assert!(problem["detail"].as_str().unwrap().contains("64MiB"), "{problem:#}");
}

#[tokio::test]
async fn deep_recursion_exhausts_the_guests_stack_and_nothing_else() {
    let server = Gateway::new().wat("hungry", HUNGRY).start();
    for _ in 0..3 {
        let problem = server.get("/tasks/hungry/deep?0=0").await.problem(500, "stack-overflow");
        traced(&problem, &["deep", "deep"]);
        assert!(problem["backtrace"].as_array().unwrap().len() <= 24, "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains("--stack"), "{problem:#}");
    }
    assert_eq!(server.get("/tasks/hungry/fine").await.ok(), "7");
}

#[tokio::test]
async fn a_trap_names_the_guests_functions() {
    let server = Gateway::new().wat("hungry", HUNGRY).start();
    let problem = server.get("/tasks/hungry/crash").await.problem(500, "trap");
    assert_eq!(problem["backtrace"], json!(["inner", "outer", "crash"]), "{problem:#}");
    assert!(problem["detail"].as_str().unwrap().contains("unreachable"), "{problem:#}");
    assert_eq!(
        (&problem["task"], &problem["function"], &problem["phase"]),
        (&json!("hungry"), &json!("crash"), &json!("run"))
    );
    let problem = server.get("/tasks/hungry/beyond").await.problem(500, "trap");
    assert!(problem["detail"].as_str().unwrap().contains("out of bounds"), "{problem:#}");
}

#[tokio::test]
async fn a_big_memory_fill_holds_its_worker_for_one_instruction_only() {
    let manifest = "[limits]\nwall = \"300ms\"\n";
    let server = Gateway::new()
        .set(|config| config.workers = NonZeroUsize::MIN)
        .wat("fill", FILL)
        .manifest("fill", manifest)
        .wat("loops", LOOPS)
        .start();
    let alone = Crowd::alone();
    // Without a look at the backtrace: between two slices, where the deadline may find it, there is none.
    stopped(&server, "/tasks/fill/fill", "deadline-exceeded", ("wall", "300ms")).await;
    let filling = Caller::get(&server, "/tasks/fill/fill");
    eventually("it fills", || server.pool().running == 1);
    let begin = Instant::now();
    assert_eq!(server.get("/tasks/loops/short?0=1").await.ok(), "2");
    assert!(begin.elapsed() < LATE, "{:?}", begin.elapsed());
    drop((filling, alone));
}

/// Four storms on two workers: short calls are prompt, and a hang-up ends them.
async fn storms(server: &Server, path: &str, short: &str) {
    let crowd = Crowd::sunk(server, path, 4);
    let client = client();
    let mut times = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        server.send(client.get(server.url(short))).await.ok();
        times.push(begin.elapsed());
    }
    let short = median(times);
    assert!(short < Duration::from_millis(50), "a short call took {short:?}");
    assert_eq!(server.pool().permits, 4);
    let begin = Instant::now();
    drop(crowd);
    eventually("the storms have ended", || server.pool().permits == 0);
    assert!(begin.elapsed() < LATE, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_storm_of_host_calls_stays_preemptible() {
    let server = two_workers()
        .wat("storm", STORM)
        .manifest("storm", LOOPS_MANIFEST)
        .imports(Box::new(|linker| {
            linker.func_wrap("test", "cheap", |n: i32| n.wrapping_add(1))?;
            Ok(())
        }))
        .start();
    storms(&server, "/tasks/storm/storm", "/tasks/storm/short").await;
}

#[tokio::test]
async fn a_storm_of_a_components_host_calls_stays_preemptible() {
    let guest = include_str!("hostile/clock-storm.wat");
    let server = two_workers().wat("storm", guest).manifest("storm", LOOPS_MANIFEST).start();
    assert_eq!(server.get("/tasks/storm/advances").await.ok(), "true");
    storms(&server, "/tasks/storm/storm", "/tasks/storm/advances").await;
}

#[tokio::test]
async fn a_flood_of_output_fails_no_guest_and_fills_no_memory() {
    let wit = "package t:t; world w { export flood: func(to: u32, writes: u32) -> u32; export cry: func(); }";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("flood.wasm"), typed(wit, FLOOD)).unwrap();
    let program = Program::serve(folder.path(), &[]).await;
    for stream in [1, 2] {
        assert_eq!(program.text(&format!("/tasks/flood/flood?to={stream}&writes=1")).await, "0");
        let before = program.peak_kib();
        // 512 MiB: none of the writes fails, and what the process holds does not follow.
        assert_eq!(program.text(&format!("/tasks/flood/flood?to={stream}&writes=8192")).await, "0");
        // The kernel sums its counters per thread lazily, so that the peak may seem to fall.
        let grown = program.peak_kib().saturating_sub(before);
        assert!(grown < 16 << 10, "512 MiB of output grew the process by {grown} KiB");
    }
    let problem = client().get(program.url("/tasks/flood/cry")).send().await.unwrap();
    assert_eq!(problem.status(), 500);
    let problem: serde_json::Value = problem.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/trap", "{problem:#}");
    let stderr = problem["stderr"].as_str().unwrap();
    assert!(stderr.ends_with("the last words"), "{problem:#}");
    assert!(stderr.len() <= 4 << 10, "{} bytes", stderr.len());
}

fn giant(manifest: &str) -> Server {
    let wit = "package t:t; world w { export text: func(n: u32) -> string; \
               export numbers: func(n: u32) -> list<u32>; export count: func(xs: list<u32>) -> u32; }";
    Gateway::new().file("giant.wasm", typed(wit, GIANT)).manifest("giant", manifest).start()
}

#[tokio::test]
async fn a_result_over_the_output_limit_is_refused_and_one_below_is_not() {
    let server = giant("[limits]\noutput = \"64KiB\"\n");
    assert_eq!(server.get("/tasks/giant/text?n=65536").await.ok().len(), 65_536);
    let over = ["text?n=65537", "text?n=16777216", "numbers?n=40000"];
    for path in over {
        let problem = server.get(&format!("/tasks/giant/{path}")).await.problem(500, "output-too-large");
        assert_eq!(problem["limit"], json!({ "name": "output", "value": "64KiB" }), "{path}: {problem:#}");
    }
    // So many values that the host refuses to take them over, long before they are written.
    let problem = server.get("/tasks/giant/numbers?n=4000000").await.problem(500, "output-too-large");
    assert!(problem["detail"].as_str().unwrap().contains("unblock:task/body"), "{problem:#}");
    // A length that its memory does not hold is the guest's crash, not the gateway's.
    let problem = server.get("/tasks/giant/text?n=4294967295").await.json();
    assert!(
        ["/problems/trap", "/problems/output-too-large"].contains(&problem["type"].as_str().unwrap()),
        "{problem:#}"
    );
    assert_eq!(server.get("/tasks/giant/text?n=3").await.ok(), "aaa");
}

#[tokio::test]
async fn arguments_are_bounded_in_depth_number_and_bytes() {
    let server = giant("[limits]\ninput = \"8MiB\"\n");
    let client = client();
    let post = |body: String| {
        let request =
            client.post(server.url("/tasks/giant/count")).header("content-type", "application/json");
        server.send(request.body(body))
    };
    assert_eq!(post("[[1,2,3]]".to_owned()).await.ok(), "3");
    for depth in [129, 100_000, 4_000_000] {
        let reply = post(format!("{}{}", "[".repeat(depth), "]".repeat(depth))).await;
        assert!([400, 413].contains(&reply.status), "depth {depth}: {} {}", reply.status, reply.text());
        assert_eq!(reply.json()["blame"], "caller", "depth {depth}: {}", reply.text());
        let reply = post("{\"xs\":".repeat(depth / 5)).await;
        assert_eq!(reply.status, 400, "depth {depth}: {}", reply.text());
    }
    // 2 Mi elements are the most; one byte each with its comma, so the body itself is allowed.
    let reply = post(format!("[[0{}]]", ",0".repeat(2 << 20))).await;
    reply.problem(413, "input-too-large");
    // The bound of the body itself, whose refusal may come while it is sent, is in http.rs.
    assert_eq!(post("[[4]]".to_owned()).await.ok(), "1");
}
