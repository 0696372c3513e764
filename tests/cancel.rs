//! A caller who goes away takes its run along: in a loop, in a sleep, and in every queue.
//!
//! Hang-ups are plain sockets that are closed; what they end is seen in the pool's numbers. After a
//! storm of calls of every sort nothing is left: no run, no permit, no waiter, no thread.

use crate::support::crowd::{Caller, Crowd, LOOPS, LOOPS_MANIFEST, median};
use crate::support::{Gateway, Server, client, eventually, repository};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The target is 10 ms; this machine does other things at the same time.
const BOUND: Duration = Duration::from_millis(200);

const HUNGRY: &str = include_str!("guests/hungry.wat");

/// From now until `holds`, looked at often enough to tell milliseconds.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    let mut took = None;
    eventually(what, || {
        let deadline = Instant::now() + Duration::from_millis(5);
        while took.is_none() && Instant::now() < deadline {
            took = holds().then(|| begin.elapsed());
            std::thread::yield_now();
        }
        took.is_some()
    });
    took.unwrap()
}

fn server() -> Server {
    Gateway::new()
        .set(|config| config.workers = NonZeroUsize::new(2).unwrap())
        .wat("loops", LOOPS)
        .manifest("loops", LOOPS_MANIFEST)
        .sample("sleep")
        .start()
}

#[tokio::test]
async fn a_hang_up_stops_a_loop() {
    let server = server();
    let times = (0..15).map(|_| {
        let caller = Caller::get(&server, "/tasks/loops/endless");
        eventually("it runs", || server.pool().running == 1);
        drop(caller);
        until("it has ended", || server.pool().permits == 0)
    });
    let times: Vec<Duration> = times.collect();
    assert!(median(times.clone()) < BOUND, "{times:?}");
}

#[tokio::test]
async fn a_hang_up_stops_a_sleep() {
    let server = server();
    let times = (0..15).map(|_| {
        let caller = Caller::get(&server, "/sleep/60");
        eventually("it sleeps", || server.pool().parked == 1);
        drop(caller);
        until("it has ended", || server.pool().permits == 0)
    });
    let times: Vec<Duration> = times.collect();
    assert!(median(times.clone()) < BOUND, "{times:?}");
}

#[tokio::test]
async fn a_hang_up_stops_a_run_queued_among_a_thousand_loops() {
    let server = server();
    let mut crowd = Crowd::sunk(&server, "/tasks/loops/endless", 1_000);
    let mut times = Vec::new();
    for left in (985..1_000).rev() {
        drop(crowd.pop());
        times.push(until("it has ended", || server.pool().permits == left));
    }
    // A turn of all thousand takes four seconds: nobody may wait for one.
    assert!(median(times.clone()) < BOUND, "{times:?}");
    let begin = Instant::now();
    drop(crowd);
    eventually("all have ended", || server.pool().permits == 0);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_hang_up_leaves_the_tasks_waiting_room() {
    let manifest =
        "[limits]\nwall = \"1m\"\ncpu = \"1m\"\nconcurrency = 1\nqueue = 10\nqueue_wait = \"30s\"\n";
    let server = Gateway::new().wat("loops", LOOPS).manifest("loops", manifest).start();
    let first = Caller::get(&server, "/tasks/loops/endless");
    eventually("it runs", || server.pool().permits == 1);
    let times = (0..15).map(|_| {
        let caller = Caller::get(&server, "/tasks/loops/short?0=1");
        eventually("it waits", || server.pool().admission_waiting == 1);
        drop(caller);
        until("it waits no more", || server.pool().admission_waiting == 0)
    });
    let times: Vec<Duration> = times.collect();
    assert!(median(times.clone()) < BOUND, "{times:?}");
    // The slot goes to whoever still wants it.
    let waiting = Caller::get(&server, "/tasks/loops/short?0=1");
    eventually("it waits", || server.pool().admission_waiting == 1);
    drop(first);
    assert!(waiting.answer().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_caller_may_wait_for_less_than_the_task_allows() {
    let server = server();
    let request = client().get(server.url("/tasks/loops/endless")).header("prefer", "wait=1");
    let begin = Instant::now();
    let reply = server.send(request).await;
    let took = begin.elapsed();
    let problem = reply.problem(504, "deadline-exceeded");
    assert_eq!(reply.header("preference-applied"), Some("wait=1"));
    assert_eq!(problem["limit"]["value"], "1s", "{problem:#}");
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    let request = client().get(server.url("/sleep/60")).header("prefer", "wait=1");
    server.send(request).await.problem(504, "deadline-exceeded");
    eventually("nothing runs", || server.pool().permits == 0);
}

#[tokio::test]
async fn no_caller_waits_for_more_than_the_task_allows() {
    let server = Gateway::new().wat("loops", LOOPS).manifest("loops", "[limits]\nwall = \"200ms\"\n").start();
    let request = client().get(server.url("/tasks/loops/endless")).header("prefer", "wait=60");
    let problem = server.send(request).await.problem(504, "deadline-exceeded");
    assert_eq!(problem["limit"], json!({ "name": "wall", "value": "200ms" }), "{problem:#}");
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Every way a call can end.
const PATHS: [&str; 8] = [
    "/tasks/loops/short?0=1",
    "/tasks/loops/endless",
    "/tasks/loops/busy?0=3000000",
    "/sleep/0.02",
    "/sleep/60",
    "/tasks/hungry/bomb",
    "/tasks/hungry/deep?0=0",
    "/tasks/hungry/crash",
];

#[tokio::test]
async fn a_storm_of_calls_and_hang_ups_leaves_nothing_behind() {
    // Few slots and a short wait, so that calls also wait, are refused and run into their limits.
    let limits = "[limits]\nwall = \"300ms\"\ncpu = \"100ms\"\nmemory = \"8MiB\"\nconcurrency = 20\nqueue = 20\nqueue_wait = \"200ms\"\n";
    let server = Gateway::new()
        .set(|config| config.workers = NonZeroUsize::new(2).unwrap())
        .wat("loops", LOOPS)
        .manifest("loops", limits)
        .wat("hungry", HUNGRY)
        .manifest("hungry", limits)
        .sample("sleep")
        .start();
    let alone = Crowd::alone();
    std::thread::scope(|scope| {
        for seed in 1..=16 {
            let server = &server;
            scope.spawn(move || {
                let mut dice = Dice(seed * 0x9e37_79b9_7f4a_7c15);
                let mut held = Vec::new();
                for _ in 0..125 {
                    let path = PATHS[dice.below(PATHS.len() as u64) as usize];
                    let caller = Caller::get(server, path);
                    match dice.below(4) {
                        // Gone before the request is read, most likely.
                        0 => drop(caller),
                        // Gone at some point of its life.
                        1 => {
                            std::thread::sleep(Duration::from_micros(dice.below(10_000)));
                            drop(caller);
                        }
                        // Gone in the midst of others.
                        2 => held.push(caller),
                        _ if path == "/sleep/60" => drop(caller),
                        _ => assert!(caller.answer().starts_with("HTTP/1.1 "), "{path} was not answered"),
                    }
                    if held.len() > 10 {
                        let index = dice.below(held.len() as u64) as usize;
                        drop(held.swap_remove(index));
                    }
                }
            });
        }
    });
    drop(alone);
    let left = || {
        let stats = server.pool();
        stats.permits
            + stats.running
            + stats.parked
            + stats.urgent
            + stats.admission_waiting
            + stats.queued.iter().sum::<usize>()
    };
    eventually("nothing is left", || left() == 0);
    let stats = server.pool();
    assert!(stats.submitted > 500 && stats.completed > 100, "the storm did not reach the pool: {stats:?}");
    assert!(stats.stopped.iter().sum::<u64>() > 50, "nothing was stopped: {stats:?}");
    assert_eq!(stats.panicked, 0, "{stats:?}");
    // The slots of each task came back: as many calls as it has fit in at once.
    let calls: Vec<Caller> = (0..20).map(|_| Caller::get(&server, "/tasks/hungry/fine")).collect();
    for call in calls {
        let answer = call.answer();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let tasks = server.get("/tasks/loops").await.json();
    assert_eq!(tasks["counts"]["running"], 0, "{tasks:#}");
}

/// The program itself, so that threads can be counted that are nobody else's.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(tasks: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_unblock"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--workers",
                "2",
                "--max-runs",
                "1000",
                "--cache",
                "off",
                "--tasks",
            ])
            .arg(tasks)
            .env_remove("UNBLOCK_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, address) = std::sync::mpsc::channel();
        // Both streams are read to their end, so that the program never waits for its log.
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        let read = |stream: Box<dyn std::io::Read + Send>| {
            let found = found.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some((_, rest)) = line.split_once("http://") {
                        let address: String =
                            rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
                        let _ = found.send(address);
                    }
                }
            });
        };
        read(Box::new(out));
        read(Box::new(err));
        let address = address.recv_timeout(Duration::from_secs(20)).expect("the program listens");
        Self { child, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_hang_ups_cost_no_thread() {
    let tasks = tempfile::tempdir().unwrap();
    std::fs::write(tasks.path().join("loops.wat"), LOOPS).unwrap();
    for file in ["sleep.wasm", "sleep.toml"] {
        std::fs::copy(repository().join("tasks").join(file), tasks.path().join(file))
            .expect("run `just build-tasks`");
    }
    let program = Program::start(tasks.path());
    let client = client();
    let ready = Instant::now() + Duration::from_secs(20);
    while !client.get(program.url("/sleep/0.01")).send().await.is_ok_and(|reply| reply.status() == 200) {
        assert!(Instant::now() < ready, "the sample was not loaded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = program.threads();
    let mut most = before;
    for round in 0..5_u64 {
        let calls: Vec<_> = (0..100_u64)
            .map(|call| {
                let path = PATHS[((round + call) % 5) as usize];
                let request = client.get(program.url(path)).send();
                // Dropped unless it is quick.
                tokio::spawn(tokio::time::timeout(Duration::from_millis(50 + call), request))
            })
            .collect();
        for call in calls {
            let _ = call.await.unwrap();
            most = most.max(program.threads());
        }
    }
    eventually("the short-lived threads have ended", || program.threads() <= before);
    assert!(most <= before + 2, "{before} threads before, {most} during five hundred calls");
}
