//! The corpus of hostile guests: every file of `tests/hostile` attacks one limit while a neighbour is called.
//!
//! A file opens with what it does; after an empty comment line its header is the specification that is run:
//!
//! ```text
//! ;; attacks: cpu              which promise: cpu, wall, memory, stack, host, output, log or escape
//! ;; limits: cpu = "1s"        limits of its own, as in a manifest, parted by commas
//! ;; grants: sockets = ["…"]   grants of its own
//! ;; crowd: 8                  how many callers at once; 4, twice the workers, if nothing is said
//! ;; call: /f {"a": 1}         what they call, below the task's URL; with a JSON body it is a POST
//! ;; expect: 504 cpu-exceeded  status and problem, then a part of its detail; or status and body; or
//!                              `breaks off` for the body; or `hang-up`: the callers go, and so must it
//! ;; within: 5s                time from the first call (or the hang-up) until nothing of it runs
//! ;; load: …                   instead of calls: it is refused at load, for a reason with this in it
//! ```
//!
//! `@repeat(N){text}` in a file stands for N times the text. The gateway is the built program, so that its
//! memory, threads and descriptors are nobody else's; `just hostile` prints the figures as a table.

use crate::support::crowd::{Crowd, timing};
use crate::support::process::Program;
use crate::support::{Reply, client, repository, until, until_within};
use serde_json::Value;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Limits that are reached soon. The wall clock is for those who wait: on a busy machine a loop's share of
/// the processor takes its time.
const FLAGS: [&str; 14] = [
    "--workers",
    "2",
    "--wall",
    "20s",
    "--cpu",
    "100ms",
    "--memory",
    "64MiB",
    "--input",
    "1MiB",
    "--output",
    "1MiB",
    "--concurrency",
    "32",
];

/// Runs of one task at once, of those flags.
const CONCURRENCY: usize = 32;

/// CPU time in milliseconds that the cheapest of a crowd's runs has had when it is answered: its budget, and
/// what the host does at a stretch.
const CPU_MS_MAX: f64 = 600.0;

/// The program's slots (`Program::serve`).
const SLOTS: usize = 64;

/// Callers at once where the file says nothing.
const CROWD: usize = 4;

/// What half of the neighbour's calls take at most, and what each of them does, on a machine that does other
/// things too.
const PROMPT: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(5);

/// Calls of the neighbour during each attack, at least.
const NEIGHBOUR_CALLS_MIN: usize = 20;

/// KiB that a caller of an attack may have the process hold while it lasts: its memory and the copies that
/// the host makes of it.
const PEAK_KIB_PER_CALLER: u64 = 192 << 10;

/// KiB that may be left of an attack, and of all of them: what the allocator keeps for the next.
const LEFT_KIB: u64 = 48 << 10;
const LEFT_KIB_IN_ALL: u64 = 128 << 10;

/// Bytes that an attack may add to the log.
const LOG_BYTES_MAX: usize = 32 << 10;

/// What some guests would like to see as a line of the log.
const FORGED: &str = "2026-11-26T00:00:00Z ERROR forged line";

/// Answers at once, or sleeps 300 ms.
const NEIGHBOUR: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "answer") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "nap") (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 300000000))
    (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))"#;

/// One file of the corpus.
#[derive(Default)]
struct Guest {
    name: String,
    what: String,
    text: String,
    attacks: String,
    manifest: String,
    crowd: Option<usize>,
    calls: Vec<(String, String)>,
    within: Option<Duration>,
    load: Option<String>,
}

/// What was seen of an attack.
struct Seen {
    over: Duration,
    neighbour: Vec<Duration>,
    peak_kib: u64,
}

fn corpus() -> Vec<Guest> {
    let mut guests: Vec<Guest> = std::fs::read_dir(repository().join("tests/hostile"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            guest(name, &std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    guests
}

fn guest(name: String, text: &str) -> Guest {
    let mut guest = Guest { text: expanded(text), ..Guest::default() };
    let mut header = text.lines().map_while(|line| line.strip_prefix(";;")).map(str::trim);
    for line in header.by_ref().take_while(|line| !line.is_empty()) {
        guest.what = format!("{} {line}", guest.what).trim().to_owned();
    }
    for line in header {
        let (key, value) =
            line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line:?} is no `key: value`"));
        match key {
            "attacks" => guest.attacks = value.to_owned(),
            "limits" => guest.manifest += &format!("[limits]\n{}\n", value.replace(", ", "\n")),
            "grants" => guest.manifest += &format!("[grants]\n{value}\n"),
            "crowd" => guest.crowd = Some(value.parse().unwrap()),
            "call" => guest.calls.push((value.to_owned(), String::new())),
            "expect" => guest.calls.last_mut().unwrap().1 = value.to_owned(),
            "within" => guest.within = Some(humantime(value)),
            "load" => guest.load = Some(value.to_owned()),
            _ => panic!("{name}: no such key: {key}"),
        }
    }
    let complete = !guest.what.is_empty()
        && ["cpu", "wall", "memory", "stack", "host", "output", "log", "escape"]
            .contains(&guest.attacks.as_str())
        && (guest.load.is_some() != (guest.within.is_some() && !guest.calls.is_empty()))
        && guest.calls.iter().all(|(_, expected)| !expected.is_empty());
    assert!(
        complete,
        "{name}: its header does not say what it attacks, what is called, expected and within which time"
    );
    Guest { name, ..guest }
}

fn humantime(text: &str) -> Duration {
    gateway::limits::parse_duration(text).unwrap()
}

/// The text with its repetitions written out.
fn expanded(text: &str) -> String {
    let mut pieces = text.split("@repeat(");
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (count, rest) = piece.split_once("){").expect("@repeat(N){text}");
        let (repeated, rest) = rest.split_once('}').expect("@repeat(N){text}");
        out += &repeated.repeat(count.parse().unwrap());
        out += rest;
    }
    out
}

impl Guest {
    fn crowd(&self) -> usize {
        self.crowd.unwrap_or(CROWD)
    }

    /// Its calls by so many at once; returns when all were answered as expected and nothing runs any more.
    async fn attack(&self, program: &Program) -> Duration {
        let mut over = Duration::ZERO;
        for (call, expected) in &self.calls {
            let begin = Instant::now();
            let begin = if expected == "hang-up" {
                self.hang_up(program, call).await
            } else {
                let crowd = (0..self.crowd()).map(|_| self.call(program, call, expected));
                let cpu = futures_util::future::join_all(crowd).await;
                // Now and then the kernel charges a thread with work that is not its own; not all of them at once.
                let least = cpu.into_iter().fold(f64::MAX, f64::min);
                assert!(least <= CPU_MS_MAX, "{} {call}: each had {least} ms of CPU time", self.name);
                begin
            };
            until("nothing of it runs", async || running(program, &self.name).await == 0).await;
            over = over.max(begin.elapsed());
        }
        over
    }

    /// One call, answered as expected; the milliseconds of CPU time it had.
    async fn call(&self, program: &Program, call: &str, expected: &str) -> f64 {
        let (path, json) = call.split_once(' ').unwrap_or((call, ""));
        let url = program.url(&format!("/tasks/{}{path}", self.name));
        let request = if json.is_empty() {
            client().get(url)
        } else {
            client().post(url).header("content-type", "application/json").body(json.to_owned())
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await;
        if expected == "breaks off" {
            assert!(status == 200 && body.is_err(), "{}: {status}, its body came to an end", self.name);
            return 0.0;
        }
        let reply = Reply { status, headers, body: body.unwrap().to_vec() };
        let cpu = reply.header("server-timing").map_or(0.0, |header| timing(header, "cpu"));
        let (status, rest) = expected.split_once(' ').unwrap_or((expected, ""));
        let status: u16 = status.parse().unwrap();
        if status < 400 {
            assert_eq!((reply.status, reply.text().as_str()), (status, rest), "{} {call}", self.name);
            return cpu;
        }
        let (slug, part) = rest.split_once(' ').unwrap_or((rest, ""));
        let problem = reply.problem(status, slug);
        let detail = problem["detail"].as_str().unwrap().to_lowercase();
        assert!(detail.contains(part), "{} {call}: {problem:#}", self.name);
        assert!(reply.body.len() < 32 << 10, "{}: a problem of {} bytes", self.name, reply.body.len());
        cpu
    }

    /// Lets all callers in, and has them go; gives the moment they went.
    async fn hang_up(&self, program: &Program, path: &str) -> Instant {
        let callers: Vec<TcpStream> = (0..self.crowd())
            .map(|_| {
                let mut stream = TcpStream::connect(program.socket()).unwrap();
                let head = format!("GET /tasks/{}{path} HTTP/1.1\r\nhost: test\r\n\r\n", self.name);
                stream.write_all(head.as_bytes()).unwrap();
                stream
            })
            .collect();
        let all = callers.len().min(CONCURRENCY) as u64;
        until("all of them run", async || running(program, &self.name).await == all).await;
        drop(callers);
        Instant::now()
    }

    /// One attack: neighbour, time, memory, threads, descriptors, log.
    async fn tried(&self, program: &Program) -> Seen {
        let _alone = Crowd::alone();
        let (before, log) = (program.held(), program.log().len());
        program.forget_peak();
        let neighbour = Neighbour::start(program);
        let over = self.attack(program).await;
        let neighbour = neighbour.stop().await;
        let peak_kib = program.held().peak_kib.saturating_sub(before.resident_kib);
        let name = &self.name;
        let (median, slowest) = (neighbour[neighbour.len() / 2], neighbour[neighbour.len() - 1]);
        assert!(over <= self.within.unwrap(), "{name}: over after {over:?}");
        assert!(
            median <= PROMPT && slowest <= LATE,
            "{name}: its neighbour's calls took {median:?}, up to {slowest:?}"
        );
        assert!(peak_kib <= PEAK_KIB_PER_CALLER * self.crowd() as u64, "{name}: {peak_kib} KiB at its peak");
        let added = program.log().len() - log;
        assert!(added <= LOG_BYTES_MAX, "{name}: {added} bytes of log");
        until_within(Duration::from_secs(20), &format!("{name} leaves nothing behind"), async || {
            // The allocator gives back what it has when it is used.
            program.status("/tasks/neighbour/answer?0=1").await;
            let now = program.held();
            now.resident_kib <= before.resident_kib + LEFT_KIB && now.descriptors <= before.descriptors + 1
        })
        .await;
        Seen { over, neighbour, peak_kib }
    }

    fn row(&self, seen: Option<&Seen>) -> String {
        let expected = match &self.load {
            Some(_) => "refused at load".to_owned(),
            None => {
                let mut all: Vec<String> = self.calls.iter().map(|(_, expected)| promise(expected)).collect();
                all.dedup();
                all.join(", ")
            }
        };
        let (over, p99, peak) = match seen {
            None => ("–".to_owned(), "–".to_owned(), "–".to_owned()),
            Some(seen) => (
                format!("{} ms", seen.over.as_millis()),
                format!("{:.1} ms", seen.neighbour[seen.neighbour.len() * 99 / 100].as_secs_f64() * 1000.0),
                format!("{} MiB", seen.peak_kib >> 10),
            ),
        };
        format!(
            "| {} | {} | {expected} | [`{name}`](../tests/hostile/{name}.wat) | {over} | {p99} | {peak} |",
            self.attacks,
            self.what.trim_end_matches('.'),
            name = self.name
        )
    }
}

/// What an expectation promises, in a few words.
fn promise(expected: &str) -> String {
    let mut words = expected.split(' ');
    match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        ("hang-up", _) => "ends with its callers".to_owned(),
        ("breaks", _) => "its response breaks off".to_owned(),
        (status, _) if status.starts_with('2') => "harms nobody".to_owned(),
        (status, slug) => format!("{status} `{slug}`"),
    }
}

/// So many calls that sleep at once, and their statuses.
async fn naps(program: &Program, count: usize) -> Vec<u16> {
    let url = program.url("/tasks/neighbour/nap");
    let naps = (0..count).map(|_| client().get(&url).send());
    futures_util::future::join_all(naps).await.into_iter().map(|nap| nap.unwrap().status().as_u16()).collect()
}

async fn running(program: &Program, task: &str) -> u64 {
    let told: Value = serde_json::from_str(&program.text(&format!("/tasks/{task}")).await).unwrap();
    told["counts"]["running"].as_u64().unwrap()
}

/// Calls of the gateway's own page and of a task that does no harm, one after the other, until it is stopped.
struct Neighbour {
    stop: Arc<AtomicBool>,
    calling: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Neighbour {
    fn start(program: &Program) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, client) = (Arc::clone(&stop), client());
        let (page, task) = (program.url("/"), program.url("/tasks/neighbour/answer?0=41"));
        let calling = tokio::spawn(async move {
            let mut times = Vec::new();
            while times.len() < NEIGHBOUR_CALLS_MIN || !stopped.load(Ordering::Relaxed) {
                for (url, answer) in [(&page, "Hello, world "), (&task, "42")] {
                    let begin = Instant::now();
                    let response = client.get(url).send().await.expect("the neighbour is answered");
                    assert_eq!(response.status(), 200, "{url}");
                    let text = response.text().await.unwrap();
                    times.push(begin.elapsed());
                    assert!(text.starts_with(answer), "{url}: {text}");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times
        });
        Self { stop, calling }
    }

    /// How long its calls took, the fastest first.
    async fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.calling.await.expect("the neighbour is answered");
        times.sort();
        times
    }
}

#[allow(clippy::print_stdout, reason = "the table is for whoever runs `just hostile`")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_guest_of_the_corpus_harms_anybody() {
    let guests = corpus();
    assert!(guests.len() >= 40, "{} guests", guests.len());
    let folder = tempfile::tempdir().unwrap();
    let put = |name: String, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("neighbour.wat".to_owned(), NEIGHBOUR);
    put("neighbour.toml".to_owned(), "[limits]\nconcurrency = 256\n");
    for guest in &guests {
        put(format!("{}.wat", guest.name), &guest.text);
        put(format!("{}.toml", guest.name), &guest.manifest);
    }
    let mut program = Program::serve(folder.path(), &FLAGS).await;
    let list: Value = serde_json::from_str(&program.text("/tasks").await).unwrap();
    let failures = list["failures"].as_array().unwrap();
    // Everything that is made once is made now.
    for _ in 0..NEIGHBOUR_CALLS_MIN {
        Neighbour::start(&program).stop().await;
    }
    let first = program.held();
    let mut rows = Vec::new();
    for guest in &guests {
        let failure = failures.iter().find(|failure| failure["task"] == guest.name.as_str());
        let seen = match (&guest.load, failure) {
            (Some(part), Some(failure)) => {
                let reason = failure["reason"].as_str().unwrap();
                assert!(reason.contains(part), "{}: {reason}", guest.name);
                None
            }
            (None, None) => Some(guest.tried(&program).await),
            (expected, failure) => panic!("{}: expected at load {expected:?}, found {failure:?}", guest.name),
        };
        rows.push(guest.row(seen.as_ref()));
    }
    rows.sort();
    println!("\n{}", rows.join("\n"));
    // Thrice as many as there are slots: those over are refused, and every slot is there again.
    let refused = naps(&program, 3 * SLOTS).await.into_iter().filter(|status| *status != 200);
    assert!(refused.clone().all(|status| status == 503), "{:?}", refused.collect::<Vec<_>>());
    until("the naps are over", async || running(&program, "neighbour").await == 0).await;
    assert!(naps(&program, SLOTS).await.iter().all(|status| *status == 200), "slots are missing");
    assert_eq!(program.status("/readyz").await, Some(200));
    // Threads for files and names end when they were idle for ten seconds.
    until("no thread is left", async || program.held().threads <= first.threads).await;
    let last = program.held();
    assert!(
        last.resident_kib <= first.resident_kib + LEFT_KIB_IN_ALL,
        "{} KiB before, {} KiB after the corpus",
        first.resident_kib,
        last.resident_kib
    );
    let log = program.log();
    assert!(log.contains("forged line"), "the forgers were not even heard");
    assert!(!log.lines().any(|line| line.starts_with(FORGED)), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{7}']), "the log holds terminal codes: {log:?}");
    program.terminate();
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn every_guest_stands_in_the_documentation() {
    let page = std::fs::read_to_string(repository().join("docs/reliability.md")).unwrap();
    let missing: Vec<String> = corpus()
        .into_iter()
        .map(|guest| guest.name)
        .filter(|name| !page.contains(&format!("tests/hostile/{name}.wat")))
        .collect();
    assert!(missing.is_empty(), "run `just hostile`; docs/reliability.md lacks {missing:?}");
}
