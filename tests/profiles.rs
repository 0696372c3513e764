//! Profiles: of one call in two forms, of every task all the time, for whom, and what a guest cannot do with them.

use crate::access::Tokens;
use crate::support::guests::{Gate, gated};
use crate::support::{Gateway, Reply, Server, client, guest, until};
use serde_json::Value;
use std::collections::HashMap;

/// Nine tenths of the time of `work` are in `hot`; `0` is how long that is, about a microsecond each.
const WORK: &str = r#"(module
  (func $spin (param $n i32)
    (loop $more
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $more (local.get $n))))
  (func $turns (param $n i32) (param $x i64) (result i64)
    (loop $more
      (local.set $x (i64.rem_u (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1000003)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $more (local.get $n)))
    (local.get $x))
  (func $hot (param $n i32) (result i64) (call $turns (i32.mul (local.get $n) (i32.const 900)) (i64.const 7)))
  (func $cold (param $n i32) (result i64) (call $turns (i32.mul (local.get $n) (i32.const 100)) (i64.const 9)))
  (func (export "work") (param $n i32) (result i64)
    (i64.add (call $hot (local.get $n)) (call $cold (local.get $n))))
  (func $endless (loop (br 0)))
  (func (export "spin") (call $endless))
  (func $deep (unreachable))
  (func (export "fail") (drop (call $hot (i32.const 3))) (call $deep)))"#;

/// The same without a name of any function.
const NAMELESS: &str = r#"(module
  (func (param i32)
    (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if 0 (local.get 0))))
  (func (export "work") (param i32) (call 0 (i32.mul (local.get 0) (i32.const 1000)))))"#;

const LIMITS: &str = "[limits]\nwall = \"60s\"\ncpu = \"60s\"\n";

/// So long a call that tens of ticks see it on any machine.
const LONG: &str = "40";

async fn profiled(server: &Server, path: &str, form: &str) -> Reply {
    server.send(client().get(server.url(path)).header("unblock-profile", form)).await
}

fn server() -> Server {
    Gateway::new().wat("work", WORK).manifest("work", LIMITS).start()
}

/// Ticks of each function itself, as the Firefox profiler adds them up.
fn own_times(profile: &Value) -> HashMap<String, u64> {
    assert!(profile["meta"]["preprocessedProfileVersion"].as_u64() >= Some(40), "{}", profile["meta"]);
    for member in
        ["interval", "startTime", "processType", "product", "categories", "markerSchema", "sampleUnits"]
    {
        assert!(!profile["meta"][member].is_null(), "{member}: {}", profile["meta"]);
    }
    let [thread] = profile["threads"].as_array().unwrap().as_slice() else { panic!("one thread: {profile}") };
    let column = |table: &str, name: &str| -> Vec<Value> {
        let column = thread[table][name].as_array().unwrap_or_else(|| panic!("{table}.{name}: {thread:#}"));
        assert_eq!(Some(column.len() as u64), thread[table]["length"].as_u64(), "{table}.{name}");
        column.clone()
    };
    let strings = thread["stringArray"].as_array().unwrap();
    let (frames, prefixes) = (column("stackTable", "frame"), column("stackTable", "prefix"));
    let (functions, names) = (column("frameTable", "func"), column("funcTable", "name"));
    let categories = profile["meta"]["categories"].as_array().unwrap().len() as u64;
    assert!(column("frameTable", "category").iter().all(|category| category.as_u64() < Some(categories)));
    for (stack, prefix) in prefixes.iter().enumerate() {
        assert!(prefix.is_null() || prefix.as_u64() < Some(stack as u64), "a caller comes first");
    }
    let index = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let mut own = HashMap::new();
    let weights = column("samples", "weight");
    let _ = column("samples", "threadCPUDelta");
    for (stack, weight) in column("samples", "stack").iter().zip(weights) {
        // Seen where no guest was: while its instance was made, say.
        if stack.is_null() {
            continue;
        }
        let frame = index(&frames[index(stack)]);
        let name = &strings[index(&names[index(&functions[frame])])];
        *own.entry(name.as_str().unwrap().to_owned()).or_default() += weight.as_u64().unwrap();
    }
    own
}

/// Checks that the text is one whole XML document, and that what is in its elements is not markup.
fn well_formed(svg: &str) {
    let (mut open, mut rest) = (Vec::new(), svg);
    while let Some((_, after)) = rest.split_once('<') {
        if let Some(data) = after.strip_prefix("![CDATA[") {
            rest = data.split_once("]]>").unwrap().1;
            continue;
        }
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").unwrap().1;
            continue;
        }
        let (tag, after) = after.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        match tag {
            _ if tag.starts_with(['?', '!']) => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{tag}"),
            _ if tag.ends_with('/') => {}
            _ => open.push(name),
        }
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(svg.matches("<script").count(), 1, "its own script alone");
    assert!(!svg.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')));
}

/// The milliseconds that the graph gives a function at its first place.
fn drawn_ms(svg: &str, function: &str) -> u64 {
    let after =
        svg.split_once(&format!("<title>{function} (")).unwrap_or_else(|| panic!("no {function}: {svg}")).1;
    after.split(' ').next().unwrap().replace(',', "").parse().unwrap()
}

#[tokio::test]
async fn a_profile_shows_the_hot_function_on_top_in_both_forms() {
    let server = server();
    let reply = profiled(&server, &format!("/tasks/work/work?0={LONG}000"), "firefox").await;
    let own = own_times(&serde_json::from_str(&reply.ok()).unwrap());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!((reply.header("unblock-outcome"), reply.header("unblock-problem")), (Some("ok"), None));
    assert!(reply.header("unblock-task").unwrap().starts_with("work@"), "{:?}", reply.headers);
    assert!(reply.header("server-timing").unwrap().contains("cpu;dur="), "{:?}", reply.headers);
    let all: u64 = own.values().sum();
    assert!(all >= 20 && own["turns"] * 10 >= all * 9, "{own:?}");

    let reply = profiled(&server, &format!("/tasks/work/work?0={LONG}000"), "flamegraph").await;
    assert_eq!(reply.header("content-type"), Some("image/svg+xml"));
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    let svg = reply.ok();
    well_formed(&svg);
    let (hot, all) = (drawn_ms(&svg, "hot"), drawn_ms(&svg, "all"));
    assert!(hot * 10 >= all * 7 && all >= 20, "{hot} of {all}");
    assert!(svg.contains("work/work") && svg.contains("<title>cold ("), "{svg}");
}

#[tokio::test]
async fn a_call_that_fails_gives_its_profile_and_says_how_it_ended() {
    let server =
        Gateway::new().wat("work", WORK).manifest("work", "[limits]\nwall = \"20s\"\ncpu = \"300ms\"\n");
    let server = server.start();
    let stopped = profiled(&server, "/tasks/work/spin", "firefox").await;
    let own = own_times(&serde_json::from_str(&stopped.ok()).unwrap());
    assert_eq!(stopped.header("unblock-outcome"), Some("cpu-exceeded"));
    assert_eq!(stopped.header("unblock-problem"), Some("/problems/cpu-exceeded"));
    assert!(own["endless"] >= 100, "{own:?}");
    let trapped = profiled(&server, "/tasks/work/fail", "flamegraph").await;
    assert_eq!((trapped.status, trapped.header("unblock-outcome")), (200, Some("trap")));
    well_formed(&trapped.text());
    let request = client().get(server.url("/tasks/work/spin")).header("prefer", "wait=1");
    let reply = server.send(request.header("unblock-profile", "flamegraph")).await;
    assert!(matches!(reply.header("unblock-outcome"), Some("cpu-exceeded" | "deadline-exceeded")));
    // Nothing ran.
    profiled(&server, "/tasks/work/work", "firefox").await.problem(400, "bad-arguments");
    profiled(&server, "/tasks/work/none", "firefox").await.problem(404, "unknown-function");
}

#[tokio::test]
async fn only_the_two_forms_are_taken() {
    let server = server();
    for wrong in ["", "Firefox", "pprof", "flamegraph,firefox"] {
        let problem = profiled(&server, "/tasks/work/work?0=1", wrong).await.problem(400, "bad-arguments");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("expected firefox or flamegraph"), "{detail}");
    }
    // Its answer does not depend on what result is accepted.
    let request = client().get(server.url("/tasks/work/work?0=1")).header("accept", "image/svg+xml");
    server.send(request.header("unblock-profile", "flamegraph")).await.ok();
    server
        .send(client().get(server.url("/tasks/work/work?0=1")).header("accept", "image/svg+xml"))
        .await
        .problem(406, "not-acceptable");
}

#[tokio::test]
async fn guests_of_every_kind_are_profiled_to_their_end() {
    let limits = "[limits]\nwall = \"20s\"\ncpu = \"200ms\"\n";
    let server = Gateway::new()
        .file("p2.wasm", guest("http-p2"))
        .manifest("p2", limits)
        .file("p3.wasm", guest("http-p3"))
        .manifest("p3", limits)
        .file("c2.wasm", guest("command"))
        .manifest("c2", limits)
        .file("c3.wasm", guest("command-p3"))
        .manifest("c3", limits)
        .file("c1.wasm", guest("command-preview1"))
        .manifest("c1", limits)
        .file("flow.wasm", guest("flow"))
        .start();
    for (path, outcome, function) in [
        // What loops is a part of these, by the compiler's choice.
        ("/tasks/p2/loop-before", "cpu-exceeded", Some("incoming-handler")),
        ("/tasks/p3/loop-before", "cpu-exceeded", Some("")),
        ("/tasks/c1/loop", "cpu-exceeded", Some("guest_command::")),
        ("/tasks/c2/loop", "cpu-exceeded", Some("guest_command::")),
        ("/tasks/c3/loop", "cpu-exceeded", Some("")),
        // After the head of the response, and after the whole of it.
        ("/tasks/p2/loop-after", "cpu-exceeded", Some("loop_after")),
        ("/tasks/p3/linger", "ok", None),
        ("/tasks/c2/exit/3", "task-error", None),
        ("/tasks/p3/hello", "ok", None),
        ("/tasks/c1/args/a", "ok", None),
    ] {
        let reply = profiled(&server, path, "firefox").await;
        let own = own_times(&serde_json::from_str(&reply.ok()).unwrap());
        assert_eq!(reply.header("unblock-outcome"), Some(outcome), "{path}");
        if let Some(function) = function {
            let most = own.iter().max_by_key(|(_, ticks)| **ticks).unwrap();
            assert!(most.0.contains(function) && *most.1 >= 50, "{path}: {own:?}");
        }
    }
    let body = vec![b'y'; 1 << 20];
    let request =
        client().post(server.url("/tasks/flow/upper")).body(body).header("unblock-profile", "flamegraph");
    let reply = server.send(request).await;
    well_formed(&reply.ok());
    assert_eq!(reply.header("unblock-outcome"), Some("ok"));
    // The guest does not see the header.
    let told =
        server.send(client().get(server.url("/tasks/p3/tell")).header("unblock-profile", "none")).await;
    told.problem(400, "bad-arguments");
}

#[tokio::test]
async fn functions_of_a_rust_component_have_their_names() {
    let server = Gateway::new().sample("password").start();
    let request =
        client().post(server.url("/tasks/password/hash")).header("content-type", "application/json");
    let request = request.header("unblock-profile", "firefox").body(r#"{"password": "correct horse"}"#);
    let own = own_times(&serde_json::from_str(&server.send(request).await.ok()).unwrap());
    let most = own.iter().max_by_key(|(_, ticks)| **ticks).unwrap();
    assert!(most.0.contains("argon2::") && !most.0.contains("::h"), "{own:?}");
}

#[tokio::test]
async fn the_profile_of_a_task_is_there_without_asking() {
    let server = Gateway::new()
        .wat("work", WORK)
        .manifest("work", LIMITS)
        .wat("nameless", NAMELESS)
        .manifest("nameless", LIMITS)
        .set(|config| config.observe.samples_per_second = 10_000)
        .start();
    let empty = server.get("/tasks/work/-/profile").await.json();
    assert_eq!((empty["samples"].as_u64(), empty["functions"].as_array().unwrap().len()), (Some(0), 0));
    let profile =
        async |task: &str| -> Value { server.get(&format!("/tasks/{task}/-/profile")).await.json() };
    for task in ["work", "nameless"] {
        until("samples", async || {
            server.get(&format!("/tasks/{task}/work?0={LONG}000")).await.ok();
            profile(task).await["samples"].as_u64() >= Some(30)
        })
        .await;
    }
    let work = profile("work").await;
    let share = |name: &str| -> Value {
        let functions = work["functions"].as_array().unwrap();
        functions
            .iter()
            .find(|share| share["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {work:#}"))
            .clone()
    };
    assert_eq!(work["functions"][0]["name"], "turns", "{work:#}");
    assert!(share("turns")["self_percent"].as_f64() > Some(90.0), "{work:#}");
    let hot = share("hot");
    assert!(
        hot["total_percent"].as_f64() > Some(70.0) && hot["self_percent"].as_f64() < Some(5.0),
        "{work:#}"
    );
    assert!(
        hot["total_ms"].as_f64() <= work["cpu_ms"].as_f64() && work["window_seconds"].as_u64() < Some(330)
    );
    assert_eq!(profile("nameless").await["functions"][0]["name"], "function 0");

    let reply = server.get("/tasks/work/-/profile?format=flamegraph").await;
    assert_eq!(reply.header("content-type"), Some("image/svg+xml"));
    let svg = reply.ok();
    well_formed(&svg);
    assert!(drawn_ms(&svg, "hot") > drawn_ms(&svg, "cold"), "{svg}");
    let svg = server.get("/tasks/nameless/-/profile?format=flamegraph").await.ok();
    assert!(svg.contains("<title>function\u{a0}0 ("), "{svg}");
    server.get("/tasks/work/-/profile?format=pprof").await.problem(400, "bad-arguments");
    server.get("/tasks/none/-/profile").await.problem(404, "unknown-task");
    server.post("/tasks/work/-/profile", "").await.problem(405, "method-not-allowed");
    let document = server.get("/openapi.json").await.json();
    let schema = jsonschema::draft202012::new(&document["components"]["schemas"]["Profile"]).unwrap();
    assert!(schema.is_valid(&work), "{work:#}");
}

#[tokio::test]
async fn what_a_task_takes_is_told_by_few_samples() {
    let server = Gateway::new()
        .wat("work", WORK)
        .manifest("work", LIMITS)
        .set(|config| config.workers = std::num::NonZeroUsize::new(1).unwrap())
        .start();
    let mut cpu_ms = 0.0;
    until("some hundred samples", async || {
        let reply = server.get(&format!("/tasks/work/work?0={LONG}000")).await;
        let timing = reply.header("server-timing").unwrap().to_owned();
        cpu_ms += timing.split_once("cpu;dur=").unwrap().1.parse::<f64>().unwrap();
        server.get("/tasks/work/-/profile").await.json()["samples"].as_u64() >= Some(100)
    })
    .await;
    let told = server.get("/tasks/work/-/profile").await.json();
    let estimate = told["cpu_ms"].as_f64().unwrap();
    // By the wall clock of the worker, which others may take from it.
    assert!(estimate > cpu_ms * 0.7, "{estimate} of {cpu_ms}: {told:#}");
    assert!(
        told["samples"].as_f64().unwrap() <= estimate / 1_000.0 * 200.0 * 1.3,
        "at most 200 a second: {told:#}"
    );
    let none = Gateway::new().wat("work", WORK).set(|config| config.observe.samples_per_second = 0).start();
    none.get("/tasks/work/work?0=10000").await.ok();
    let told = none.get("/tasks/work/-/profile").await.json();
    assert_eq!((told["samples"].as_u64(), told["samples_per_second_max"].as_u64()), (Some(0), Some(0)));
}

#[tokio::test]
async fn hostile_names_are_text_and_huge_ones_are_cut() {
    let huge = "x".repeat(50_000);
    let module = format!(
        r#"(module
  (func $a (@name "</svg><script>alert(1)</script>") (loop (br 0)))
  (func $b (@name "a;b]]>\n\00\1b&\"'") (call $a))
  (func $c (@name "{huge}") (call $b))
  (func (export "spin") (call $c)))"#
    );
    let server = Gateway::new()
        .wat("hostile", &module)
        .manifest("hostile", "[limits]\nwall = \"20s\"\ncpu = \"300ms\"\n")
        .set(|config| config.observe.samples_per_second = 10_000)
        .start();
    server.get("/tasks/hostile/spin").await.problem(504, "cpu-exceeded");
    let of_call = profiled(&server, "/tasks/hostile/spin", "flamegraph").await.ok();
    let of_task = server.get("/tasks/hostile/-/profile?format=flamegraph").await.ok();
    for svg in [of_call, of_task] {
        well_formed(&svg);
        assert!(svg.contains("&lt;/svg&gt;&lt;script&gt;alert(1)&lt;/script&gt;"), "{svg}");
        assert!(svg.contains(&"x".repeat(200)) && !svg.contains(&"x".repeat(201)), "{} bytes", svg.len());
    }
    let json = profiled(&server, "/tasks/hostile/spin", "firefox").await;
    let own = own_times(&json.json());
    assert!(own.contains_key("</svg><script>alert(1)</script>") && json.body.len() < 200_000, "{own:?}");
    let listed = server.get("/tasks/hostile/-/profile").await;
    assert!(listed.body.len() < 10_000, "{}", listed.text());
}

/// Recursion as deep as the stack allows, by two ways at every step, and back.
const DEEP: &str = r#"(module
  (func $one (param $n i32) (call $step (i32.sub (local.get $n) (i32.const 1))))
  (func $two (param $n i32) (call $step (i32.sub (local.get $n) (i32.const 1))))
  (func $step (param $n i32)
    (br_if 0 (i32.eqz (local.get $n)))
    (if (i32.and (i32.mul (local.get $n) (i32.const 0x9E3779B1)) (i32.const 0x10000))
      (then (call $one (local.get $n)))
      (else (call $two (local.get $n)))))
  (func (export "dive") (loop $again (call $step (i32.const 5000)) (br $again))))"#;

#[tokio::test]
async fn a_stack_without_end_is_cut_and_costs_its_own_run_alone() {
    let server = Gateway::new()
        .wat("deep", DEEP)
        .manifest("deep", "[limits]\nwall = \"20s\"\ncpu = \"500ms\"\n")
        .set(|config| config.observe.samples_per_second = 10_000)
        .start();
    server.get("/tasks/deep/dive").await.problem(504, "cpu-exceeded");
    let reply = profiled(&server, "/tasks/deep/dive", "firefox").await;
    let profile: Value = serde_json::from_str(&reply.ok()).unwrap();
    own_times(&profile);
    assert_eq!(reply.header("unblock-outcome"), Some("cpu-exceeded"));
    assert!(reply.body.len() < 8 << 20, "{} bytes", reply.body.len());
    let svg = profiled(&server, "/tasks/deep/dive", "flamegraph").await.ok();
    well_formed(&svg);
    assert!(svg.len() < 4 << 20 && svg.contains("(further callers)"), "{} bytes", svg.len());
}

#[tokio::test]
async fn profiles_are_for_those_who_manage_and_tasks_profiles_for_those_who_read() {
    let tokens = Tokens::new();
    let [call, read, manage] = [&["call:*"][..], &["read"], &["manage"]].map(|scopes| tokens.with(scopes));
    let server = tokens.guard(Gateway::new().wat("work", WORK)).start();
    let ask = async |path: &str, token: &str, form: Option<&str>| {
        let mut request = client().get(server.url(path)).bearer_auth(token);
        if let Some(form) = form {
            request = request.header("unblock-profile", form);
        }
        server.send(request).await
    };
    let path = "/tasks/work/work?0=10";
    ask(path, &call, None).await.ok();
    let problem = ask(path, &call, Some("firefox")).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("manage"), "{problem:#}");
    ask(path, &read, Some("firefox")).await.problem(403, "forbidden");
    ask(path, &manage, Some("firefox")).await.ok();
    let path = "/tasks/work/-/profile";
    ask(path, &call, None).await.problem(403, "forbidden");
    ask(path, &read, None).await.ok();
    ask(path, &manage, None).await.ok();
    server.get(path).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn so_many_calls_are_profiled_at_once_and_no_more() {
    let (gate, extra) = Gate::new();
    let server = Gateway::new().wat("gated", &gated(1)).imports(extra).start();
    let slow = |server: &Server| {
        let request = client().get(server.url("/tasks/gated/slow")).header("unblock-profile", "firefox");
        tokio::spawn(request.send())
    };
    let calls: Vec<_> = (0..4).map(|_| slow(&server)).collect();
    until("four are at the gate", async || server.pool().parked == 4).await;
    let refused = profiled(&server, "/tasks/gated/version", "firefox").await;
    let problem = refused.problem(503, "queue-full");
    assert!(problem["detail"].as_str().unwrap().contains("4 calls are being profiled"), "{problem:#}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    server.get("/tasks/gated/version").await.ok();
    // One whose caller leaves makes room.
    let mut calls = calls.into_iter();
    calls.next().unwrap().abort();
    until("room", async || profiled(&server, "/tasks/gated/version", "firefox").await.status == 200).await;
    gate.open(3);
    for call in calls {
        let reply = call.await.unwrap().unwrap();
        assert_eq!(
            (reply.status().as_u16(), reply.headers()["unblock-outcome"].to_str().unwrap()),
            (200, "ok")
        );
    }
}
