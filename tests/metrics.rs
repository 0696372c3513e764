//! `GET /metrics`: what is counted, exactly, and that the page, the dashboard and the alerts speak of it.
//!
//! That Prometheus reads it, and answers every expression, is the business of `tests/metrics/run`.

use crate::support::{Gateway, PATIENCE, Server, client, guest, repository, until};
use gateway::error::Kind;
use gateway::observe::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Instant;

const FAULTY: &str = r#"(module
  (memory (export "memory") 3)
  (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "fail") unreachable)
  (func (export "spin") (loop (br 0))))"#;

const OPEN: &str = "application/openmetrics-text";

/// A scrape, read strictly: whatever a parser could object to fails the test.
struct Scrape {
    /// Type and help of each family, by its name.
    families: BTreeMap<String, (String, String)>,
    /// Name, labels, value.
    series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let (mut families, mut series) = (BTreeMap::<String, (String, String)>::new(), Vec::new());
        let (mut family, mut seen) = (String::new(), BTreeSet::new());
        assert!(text.ends_with('\n'), "the last line has no end");
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if *line == "# EOF" {
                assert_eq!(at + 1, lines.len(), "something follows # EOF");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.ends_with('.') && help.len() > 10, "{line}");
                let new = families.insert(name.to_owned(), (String::new(), help.to_owned())).is_none();
                assert!(new, "{name} comes twice");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family);
                families.get_mut(name).unwrap().0 = kind.to_owned();
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                let (name, labels, value) = one(line);
                assert!(name.starts_with(&family), "{name} among those of {family}");
                assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
                series.push((name, labels, value));
            }
        }
        assert!(families.values().all(|(kind, _)| !kind.is_empty()));
        Self { families, series }
    }

    /// The value of the one series with these labels, and any others.
    #[track_caller]
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.all(name, labels);
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0].1
    }

    /// All series with these labels.
    fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&BTreeMap<String, String>, f64)> {
        let fits =
            |of: &BTreeMap<String, String>| labels.iter().all(|(l, v)| of.get(*l).is_some_and(|x| x == v));
        self.series
            .iter()
            .filter(|(other, of, _)| other == name && fits(of))
            .map(|(_, of, value)| (of, *value))
            .collect()
    }

    fn sum(&self, name: &str) -> f64 {
        self.all(name, &[]).iter().map(|(_, value)| value).sum()
    }

    /// The names of the labels of a metric.
    fn labels(&self, name: &str) -> BTreeSet<&str> {
        self.all(name, &[]).into_iter().flat_map(|(labels, _)| labels.keys().map(String::as_str)).collect()
    }

    /// Calls that have ended: task, function, outcome and how many.
    fn calls(&self) -> Vec<(String, String, String, f64)> {
        let mut calls: Vec<_> = self
            .all("unblock_calls_total", &[])
            .into_iter()
            .map(|(of, count)| (of["task"].clone(), of["function"].clone(), of["outcome"].clone(), count))
            .collect();
        calls.sort_by(|a, b| a.partial_cmp(b).unwrap());
        calls
    }
}

/// One series: `name{label="value",…} number`.
fn one(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut rest = &line[name.len()..];
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next().unwrap_or_else(|| panic!("no end of a value: {line}")) {
                    (at, '"') => break at,
                    (_, '\\') => match characters.next().unwrap().1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (_, other) => value.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name, labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

async fn scrape(server: &Server) -> Scrape {
    Scrape::parse(&server.get("/metrics").await.ok())
}

fn faulty() -> Gateway {
    let limits = "[limits]\nwall = \"60s\"\ncpu = \"60s\"\n";
    Gateway::new()
        .set(|config| config.workers = NonZeroUsize::new(2).unwrap())
        .wat("faulty", FAULTY)
        .manifest("faulty", limits)
}

fn row(function: &str, outcome: &str, count: f64) -> (String, String, String, f64) {
    ("faulty".to_owned(), function.to_owned(), outcome.to_owned(), count)
}

#[tokio::test]
async fn calls_are_counted_by_task_function_and_outcome() {
    let server = faulty().start();
    for _ in 0..3 {
        server.post("/tasks/faulty/double", "[77777]").await.ok();
    }
    server.post("/tasks/faulty/double", r#"["x"]"#).await.problem(400, "bad-arguments");
    for _ in 0..2 {
        server.get("/tasks/faulty/fail").await.problem(500, "trap");
    }
    let caller = tokio::spawn(client().get(server.url("/tasks/faulty/spin")).send());
    until("it runs", async || server.pool().running == 1).await;
    let during = scrape(&server).await;
    assert_eq!(during.value("unblock_calls_in_flight", &[("task", "faulty")]), 1.0);
    assert_eq!(during.value("unblock_runs_admitted", &[]), 1.0);
    let counted = during.all("unblock_calls_total", &[("function", "spin")]);
    assert_eq!((counted.len(), counted[0].1), (1, 0.0), "it has not ended: {counted:?}");
    caller.abort();
    until("it has ended", async || {
        scrape(&server).await.value("unblock_calls_in_flight", &[("task", "faulty")]) == 0.0
    })
    .await;

    let seen = scrape(&server).await;
    let rows = [
        row("double", "bad-arguments", 1.0),
        row("double", "ok", 3.0),
        row("fail", "ok", 0.0),
        row("fail", "trap", 2.0),
        row("spin", "cancelled", 1.0),
        row("spin", "ok", 0.0),
    ];
    assert_eq!(seen.calls(), rows);
    let task = [("task", "faulty")];
    assert_eq!(seen.value("unblock_call_duration_seconds_count", &task), 7.0);
    // Each body of three has seven bytes, that of the fourth five; results have six.
    assert_eq!(seen.value("unblock_call_received_bytes_total", &task), 26.0);
    assert_eq!(seen.value("unblock_call_sent_bytes_total", &task), 18.0);
    assert_eq!(seen.value("unblock_call_memory_max_bytes", &task), 3.0 * 65_536.0);
    assert!(seen.value("unblock_call_slices_total", &task) >= 7.0);
    let slices = seen.value("unblock_pool_slices_total", &[]);
    assert!(slices >= seen.value("unblock_call_slices_total", &task), "{slices}");
    for (problem, count) in [("bad-arguments", 1.0), ("trap", 2.0), ("cancelled", 0.0), ("internal", 0.0)] {
        assert_eq!(seen.value("unblock_problems_total", &[("problem", problem)]), count, "{problem}");
    }
    assert_eq!(seen.value("unblock_http_responses_total", &[("class", "4xx")]), 1.0);
    assert_eq!(seen.value("unblock_http_responses_total", &[("class", "5xx")]), 2.0);
    assert_eq!(seen.value("unblock_runs_ended_total", &[("end", "cancelled")]), 1.0);
    assert_eq!(seen.value("unblock_runs_started_total", &[]), seen.sum("unblock_runs_ended_total"));
    assert_eq!(seen.value("unblock_calls_admitted_total", &[]), 7.0);
    let cpu = seen.value("unblock_call_cpu_seconds_total", &task);
    assert!(cpu > 0.0 && cpu < seen.value("process_cpu_seconds_total", &[]), "{cpu}");
}

#[tokio::test]
async fn histograms_are_whole() {
    let server = faulty().sample("sleep").start();
    server.get("/sleep/0.3").await.ok();
    for _ in 0..5 {
        server.get("/tasks/faulty/double?0=4").await.ok();
    }
    let seen = scrape(&server).await;
    let histograms = seen.families.iter().filter(|(_, (kind, _))| kind == "histogram");
    let mut count = 0;
    for (name, _) in histograms {
        let buckets = seen.all(&format!("{name}_bucket"), &[]);
        let mut by_rest: BTreeMap<Vec<_>, Vec<(f64, f64)>> = BTreeMap::new();
        for (labels, value) in buckets {
            let rest = labels.iter().filter(|(label, _)| *label != "le").collect();
            by_rest.entry(rest).or_default().push((labels["le"].parse().unwrap(), value));
        }
        for (labels, buckets) in by_rest {
            count += 1;
            assert_eq!(buckets.len(), 25, "{name}");
            assert_eq!((buckets[0].0, buckets[24].0), (1e-5, f64::INFINITY), "{name}");
            let rises =
                |of: fn(&(f64, f64)) -> f64| buckets.windows(2).all(|pair| of(&pair[0]) <= of(&pair[1]));
            assert!(rises(|bucket| bucket.0) && rises(|bucket| bucket.1), "{name} {buckets:?}");
            let labels: Vec<(&str, &str)> = labels.iter().map(|(l, v)| (l.as_str(), v.as_str())).collect();
            assert_eq!(seen.value(&format!("{name}_count"), &labels), buckets[24].1, "{name}");
            let sum = seen.value(&format!("{name}_sum"), &labels);
            assert!(sum >= 0.0 && sum < PATIENCE.as_secs_f64() * 10.0, "{name} {sum}");
        }
    }
    // Two tasks, four phases, CPU time, loads.
    assert_eq!(count, 8);
    let sleep = [("task", "sleep")];
    let total = seen.value("unblock_call_duration_seconds_sum", &sleep);
    assert!(total >= 0.3, "{total}");
    let at = |le: &str| seen.value("unblock_call_duration_seconds_bucket", &[("task", "sleep"), ("le", le)]);
    assert_eq!((at("0.16384"), at("83.88608")), (0.0, 1.0));
    let phases = seen.all("unblock_call_phase_seconds_total", &sleep);
    let sum: f64 = phases.iter().map(|(_, value)| value).sum();
    assert!(sum >= 0.3 && sum <= total + 0.001, "phases {sum}, total {total}");
    assert_eq!(seen.value("unblock_phase_duration_seconds_count", &[("phase", "run")]), 6.0);
    assert_eq!(seen.value("unblock_cpu_duration_seconds_count", &[]), 6.0);
}

#[tokio::test]
async fn what_is_refused_is_counted_where_it_was() {
    let limits = "[limits]\nconcurrency = 1\nqueue = 0\nwall = \"60s\"\ncpu = \"60s\"\n";
    let server = faulty().manifest("faulty", limits).start();
    let caller = tokio::spawn(client().get(server.url("/tasks/faulty/spin")).send());
    until("it runs", async || server.pool().running == 1).await;
    for _ in 0..3 {
        server.get("/tasks/faulty/double?0=4").await.problem(503, "queue-full");
    }
    for _ in 0..2 {
        server.get("/tasks/none/double").await.problem(404, "unknown-task");
    }
    let seen = scrape(&server).await;
    assert_eq!(seen.value("unblock_calls_turned_away_total", &[]), 3.0);
    let problems: Vec<(String, f64)> = seen
        .all("unblock_problems_total", &[])
        .into_iter()
        .filter(|(_, count)| *count > 0.0)
        .map(|(labels, count)| (labels["problem"].clone(), count))
        .collect();
    assert_eq!(problems, [("unknown-task".to_owned(), 2.0), ("queue-full".to_owned(), 3.0)]);
    assert_eq!(seen.all("unblock_problems_total", &[]).len(), Kind::ALL.len(), "all of them, from the start");
    let calls = seen.calls();
    let rows = [
        row("double", "ok", 0.0),
        row("double", "queue-full", 3.0),
        row("fail", "ok", 0.0),
        row("spin", "ok", 0.0),
    ];
    assert_eq!(calls, rows);
    caller.abort();
}

#[tokio::test]
async fn counts_outlive_a_reload_and_loads_are_counted() {
    let server = faulty().wat("broken", "(module").start();
    server.get("/tasks/faulty/double?0=4").await.ok();
    let before = scrape(&server).await;
    let loads = |seen: &Scrape| -> [f64; 4] {
        ["loaded", "replaced", "removed", "failed"]
            .map(|result| seen.value("unblock_loads_total", &[("result", result)]))
    };
    let states = |seen: &Scrape| -> [f64; 3] {
        ["serving", "loading", "failed"].map(|state| seen.value("unblock_tasks", &[("state", state)]))
    };
    assert_eq!((loads(&before), states(&before)), ([1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0]));
    assert_eq!(before.value("unblock_compilations_total", &[]), 1.0);
    assert_eq!(before.value("unblock_load_duration_seconds_count", &[]), 2.0, "a failed one as well");
    assert!(before.value("unblock_compile_seconds_total", &[]) > 0.0);
    let digest = |seen: &Scrape| seen.all("unblock_task_info", &[("task", "faulty")])[0].0["digest"].clone();

    let text = FAULTY.replace("i32.const 2", "i32.const 3");
    std::fs::write(server.folder().join("faulty.wat"), text).unwrap();
    until("the new version", async || server.get("/tasks/faulty/double?0=4").await.text() == "12").await;
    let after = scrape(&server).await;
    assert_eq!(loads(&after), [1.0, 1.0, 0.0, 1.0]);
    assert_ne!(digest(&before), digest(&after));
    let ok = |seen: &Scrape| seen.value("unblock_calls_total", &[("function", "double"), ("outcome", "ok")]);
    assert!(ok(&after) > ok(&before), "it goes on counting");

    std::fs::write(server.folder().join("faulty.wat"), "(module (oops))").unwrap();
    until("its failure", async || loads(&scrape(&server).await)[3] == 2.0).await;
    assert_eq!(states(&scrape(&server).await), [1.0, 0.0, 2.0], "the old one serves");
    std::fs::remove_file(server.folder().join("faulty.wat")).unwrap();
    std::fs::remove_file(server.folder().join("faulty.toml")).unwrap();
    until("its end", async || loads(&scrape(&server).await)[2] == 1.0).await;
    let gone = scrape(&server).await;
    assert!(gone.calls().is_empty() && gone.all("unblock_task_info", &[]).is_empty());
}

#[tokio::test]
async fn the_cache_is_hit_by_the_second_start() {
    let cache = tempfile::tempdir().unwrap();
    let start = || {
        let folder = cache.path().to_owned();
        faulty().set(move |config| config.engine.cache = Some(folder)).start()
    };
    let counts = async |server: &Server| -> [f64; 3] {
        let seen = scrape(server).await;
        ["code_cache_hits", "code_cache_misses", "compilations"]
            .map(|name| seen.value(&format!("unblock_{name}_total"), &[]))
    };
    assert_eq!(counts(&start()).await, [0.0, 1.0, 1.0]);
    assert_eq!(counts(&start()).await, [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_task_that_was_never_called_has_one_line() {
    let server = faulty().sample("sleep").start();
    let text = server.get("/metrics").await.ok();
    assert_eq!(text.lines().filter(|line| line.contains("faulty")).count(), 1, "{text}");
    server.get("/sleep/0").await.ok();
    let text = server.get("/metrics").await.ok();
    assert_eq!(text.lines().filter(|line| line.contains("faulty")).count(), 1);
    // 27 of the histogram, 4 of the phases; calls, in flight, CPU, bytes in and out, slices, preemptions, memory; info.
    let most = 27 + 4 + 8 + 1;
    assert_eq!(text.lines().filter(|line| line.contains("task=\"sleep\"")).count(), most);
}

#[tokio::test]
async fn runs_are_told_by_where_they_are() {
    let server = faulty().sample("sleep").set(|config| config.workers = NonZeroUsize::MIN).start();
    let get = |path: &str| tokio::spawn(client().get(server.url(path)).send());
    let callers = [get("/sleep/60"), get("/tasks/faulty/spin"), get("/tasks/faulty/spin")];
    let mut seen = scrape(&server).await;
    until("one of each, sunk", async || {
        seen = scrape(&server).await;
        let run = |state: &str| seen.value("unblock_runs", &[("state", state)]);
        let lowest = seen.value("unblock_runs_queued", &[("level", "3")]);
        (run("running"), run("queued"), run("parked"), lowest) == (1.0, 1.0, 1.0, 1.0)
    })
    .await;
    assert_eq!(seen.value("unblock_workers", &[]), 1.0);
    assert_eq!(seen.value("unblock_workers_idle", &[]), 0.0);
    assert_eq!(seen.all("unblock_runs_queued", &[]).len(), 4);
    assert!(seen.value("unblock_runs_limit", &[]) > 1_000.0);
    let (held, budget) = ("unblock_memory_held_bytes", "unblock_memory_budget_bytes");
    assert!(seen.value(held, &[]) > 0.0 && seen.value(held, &[]) < seen.value(budget, &[]));
    assert!(seen.value("unblock_pool_demotions_total", &[]) >= 3.0, "one at least sank three levels");
    assert!(seen.value("unblock_http_connections", &[]) >= 3.0);
    assert!(seen.value("unblock_http_connections_accepted_total", &[]) >= 4.0);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    until("they are gone", async || {
        let seen = scrape(&server).await;
        // This one's own connection may be open still.
        seen.value("unblock_memory_held_bytes", &[]) == 0.0
            && seen.value("unblock_http_connections", &[]) <= 1.0
    })
    .await;
}

#[tokio::test]
async fn both_forms_tell_the_same() {
    let server = faulty().start();
    server.get("/tasks/faulty/double?0=4").await.ok();
    let asked =
        async |accept: &str| server.send(client().get(server.url("/metrics")).header("accept", accept)).await;
    let (open, old) = (asked(OPEN).await, asked("*/*").await);
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(old.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(open.headers.get_all("vary").iter().any(|vary| vary == "accept"), "{:?}", open.headers);
    assert!(open.ok().ends_with("\n# EOF\n") && !old.ok().contains("# EOF"));
    let names = |reply: &str| -> BTreeSet<String> {
        Scrape::parse(reply).series.into_iter().map(|(name, ..)| name).collect()
    };
    assert_eq!(names(&open.ok()), names(&old.ok()));
    let zipped =
        client().get(server.url("/metrics")).header("accept", OPEN).header("accept-encoding", "gzip");
    assert_eq!(server.send(zipped).await.header("content-encoding"), Some("gzip"));
    let posted = server.send(client().post(server.url("/metrics"))).await;
    posted.problem(405, "method-not-allowed");
    assert_eq!(server.send(client().head(server.url("/metrics"))).await.status, 200);
}

#[tokio::test]
async fn names_that_a_module_chooses_break_no_line_and_are_bounded() {
    // Longer than what is counted by name.
    let long = "x".repeat(200);
    let text = format!(
        r#"(module (func (export "a\"b\\c\n# EOF") (result i32) i32.const 1)
          (func (export "{long}") (result i32) i32.const 2))"#
    );
    let routes = format!("[[route]]\nmethod = \"GET\"\npath = \"/long\"\nfunction = \"{long}\"\n");
    let server = Gateway::new().wat("odd", &text).manifest("odd", &routes).start();
    server.get("/tasks/odd/a%22b%5Cc%0A%23%20EOF").await.ok();
    server.get("/long").await.ok();
    for accept in [OPEN, "text/plain"] {
        let reply = server.send(client().get(server.url("/metrics")).header("accept", accept)).await;
        let seen = Scrape::parse(&reply.ok());
        for function in ["a\"b\\c\n# EOF", "(others)"] {
            let labels = [("task", "odd"), ("function", function), ("outcome", "ok")];
            assert_eq!(seen.value("unblock_calls_total", &labels), 1.0);
        }
        assert!(!reply.text().contains(&long));
    }
}

#[tokio::test]
async fn without_metrics_there_are_no_phases_of_all_tasks() {
    let server = faulty().set(|config| config.observe.histograms = false).start();
    server.get("/tasks/faulty/double?0=4").await.ok();
    let seen = scrape(&server).await;
    assert!(
        !seen.families.keys().any(|name| name.contains("phase_duration") || name.contains("cpu_duration"))
    );
    assert_eq!(seen.value("unblock_call_duration_seconds_count", &[("task", "faulty")]), 1.0);
}

#[tokio::test]
async fn a_streamed_call_counts_once_it_is_over() {
    let server = Gateway::new().file("flow.wasm", guest("flow")).start();
    let reply = server.send(client().post(server.url("/tasks/flow/upper")).body(vec![b'y'; 300_000])).await;
    assert_eq!(reply.ok().len(), 300_000);
    let labels = [("function", "upper"), ("outcome", "ok")];
    until("its end", async || {
        scrape(&server).await.all("unblock_calls_total", &labels).iter().any(|(_, count)| *count == 1.0)
    })
    .await;
    let seen = scrape(&server).await;
    assert_eq!(seen.value("unblock_call_sent_bytes_total", &[("task", "flow")]), 300_000.0);
}

#[tokio::test]
async fn this_process_has_the_names_that_prometheus_gives() {
    let server = faulty().start();
    let seen = scrape(&server).await;
    assert!(seen.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(seen.value("process_open_fds", &[]) > 3.0 && seen.value("process_threads", &[]) > 3.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - seen.value("process_start_time_seconds", &[]);
    assert!((-2.0..86_400.0).contains(&age), "{age}");
    let version = seen.all("unblock_build_info", &[]);
    assert_eq!(version[0].0["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((seen.value("unblock_ready", &[]), seen.value("unblock_draining", &[])), (1.0, 0.0));
}

/// A scrape in which every metric has a line.
async fn full() -> (Server, Scrape) {
    let server = faulty().wat("broken", "(module").start();
    server.get("/tasks/faulty/double?0=4").await.ok();
    server.get("/tasks/faulty/fail").await.problem(500, "trap");
    let seen = scrape(&server).await;
    (server, seen)
}

#[tokio::test]
async fn the_page_lists_each_metric_as_it_is() {
    let (_server, seen) = full().await;
    let page = std::fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let mut listed = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `unblock_") || line.starts_with("| `process_"))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let labels: BTreeSet<String> = cells[3]
            .split(',')
            .map(|label| label.trim().trim_matches('`').to_owned())
            .filter(|l| !l.is_empty())
            .collect();
        assert!(cells[4].len() > 10, "{line}");
        assert!(listed.insert(name, (cells[2].to_owned(), labels)).is_none(), "twice: {line}");
    }
    let there: BTreeMap<String, (String, BTreeSet<String>)> = seen
        .families
        .iter()
        .map(|(name, (kind, _))| {
            let series = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
            assert!(!seen.all(&series, &[]).is_empty(), "{name} has no line");
            let labels = seen.labels(&series).into_iter().map(str::to_owned).collect();
            (name.clone(), (kind.clone(), labels))
        })
        .collect();
    for (name, of) in &there {
        assert_eq!(listed.get(name), Some(of), "{name} in docs/metrics.md");
    }
    assert_eq!(
        listed.len(),
        there.len(),
        "{:?}",
        listed.keys().filter(|name| !there.contains_key(*name)).collect::<Vec<_>>()
    );
}

/// What Prometheus adds to every series it scrapes.
const ADDED: [&str; 2] = ["instance", "job"];

/// Words of the language that are no metrics, where no parenthesis follows.
const WORDS: [&str; 19] = [
    "sum",
    "min",
    "max",
    "avg",
    "count",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "offset",
    "bool",
    "inf",
    "nan",
    "atan2",
];

/// Holds an expression to a scrape: each metric is there, has the labels that it is picked and grouped by, and
/// values of them that it can have.
fn check(expression: &str, seen: &Scrape) {
    let bytes: Vec<char> = expression.chars().collect();
    let (mut metrics, mut grouped, mut at) = (Vec::new(), Vec::new(), 0);
    let word = |start: usize| -> String {
        bytes[start..].iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_' || **c == ':').collect()
    };
    let inside = |start: usize, close: char| -> (String, usize) {
        let length =
            bytes[start..].iter().position(|c| *c == close).unwrap_or_else(|| panic!("{expression}"));
        (bytes[start..start + length].iter().collect(), start + length + 1)
    };
    while at < bytes.len() {
        match bytes[at] {
            '{' => {
                let (matchers, end) = inside(at + 1, '}');
                let metric: &String = metrics.last().unwrap_or_else(|| panic!("{expression}"));
                for matcher in matchers.split(", ") {
                    picked(metric, matcher, seen, expression);
                }
                at = end;
            }
            '[' => at = inside(at + 1, ']').1,
            c if c.is_ascii_alphabetic() || c == '_' => {
                let name = word(at);
                at += name.chars().count();
                let next = bytes[at..].iter().find(|c| **c != ' ').copied();
                if ["by", "on", "without", "ignoring"].contains(&name.as_str()) && next == Some('(') {
                    let open = at + bytes[at..].iter().position(|c| *c == '(').unwrap();
                    let (labels, end) = inside(open + 1, ')');
                    grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
                    at = end;
                } else if next != Some('(') && !WORDS.contains(&name.as_str()) {
                    assert!(
                        name == "up" || !seen.all(&name, &[]).is_empty(),
                        "no metric {name}: {expression}"
                    );
                    metrics.push(name);
                }
            }
            c if c.is_ascii_digit() => at += word(at).chars().count(),
            _ => at += 1,
        }
    }
    assert!(!metrics.is_empty(), "{expression}");
    for label in &grouped {
        let known = metrics.iter().any(|metric| seen.labels(metric).contains(label.as_str()));
        assert!(known || ADDED.contains(&label.as_str()), "nothing has the label {label}: {expression}");
    }
}

/// One matcher of a metric: `label="value"`, `label=~"one|another"`.
fn picked(metric: &str, matcher: &str, seen: &Scrape, expression: &str) {
    let (label, value) = matcher.split_once('=').unwrap_or_else(|| panic!("{expression}"));
    let label = label.trim_end_matches('!');
    let value = value.trim_start_matches('~').trim_matches('"');
    if ADDED.contains(&label) {
        return;
    }
    assert!(seen.labels(metric).contains(label), "{metric} has no label {label}: {expression}");
    if value.starts_with('$') {
        return;
    }
    for value in value.split('|') {
        let possible = match label {
            "outcome" => Outcome::all().any(|outcome| outcome.as_str() == value),
            _ => !seen.all(metric, &[(label, value)]).is_empty(),
        };
        assert!(possible, "{metric} never has {label}={value:?}: {expression}");
    }
}

#[tokio::test]
async fn the_alerts_speak_of_metrics_that_are_there() {
    let (_server, seen) = full().await;
    let rules = std::fs::read_to_string(repository().join("docs/alerts.yaml")).unwrap();
    let expressions: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), rules.matches("- alert: ").count(), "one line for each");
    assert!(expressions.len() > 8);
    expressions.iter().for_each(|expression| check(expression, &seen));
    // Metrics and flags that the texts name.
    for name in
        rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("unblock_"))
    {
        assert!(!seen.all(name, &[]).is_empty(), "no metric {name} in docs/alerts.yaml");
    }
}

#[tokio::test]
async fn the_dashboard_speaks_of_metrics_that_are_there() {
    fn walk<'d>(value: &'d serde_json::Value, found: &mut Vec<(&'d str, Option<&'d str>)>) {
        match value {
            serde_json::Value::Object(members) => {
                if let Some(expression) = members.get("expr").and_then(|expr| expr.as_str()) {
                    found.push((expression, members.get("legendFormat").and_then(|legend| legend.as_str())));
                }
                members.values().for_each(|value| walk(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let (_server, seen) = full().await;
    let text = std::fs::read_to_string(repository().join("docs/grafana.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut expressions = Vec::new();
    walk(&dashboard, &mut expressions);
    assert!(expressions.len() > 40, "{}", expressions.len());
    for (expression, legend) in expressions {
        check(expression, &seen);
        for label in legend.unwrap_or_default().split("{{").skip(1) {
            let label = label.split_once("}}").unwrap().0;
            assert!(expression.contains(label), "{{{{{label}}}}} is lost in {expression}");
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["definition"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (metric, label) = inner.rsplit_once(", ").unwrap();
        check(metric, &seen);
        let name = metric.split('{').next().unwrap();
        assert!(ADDED.contains(&label) || seen.labels(name).contains(label), "{query}");
    }
    let ids: Vec<i64> =
        dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
#[should_panic(expected = "no metric unblock_no_such_total")]
fn an_expression_about_nothing_is_found_out() {
    let seen = Scrape::parse(
        "# HELP unblock_x_total Something known.\n# TYPE unblock_x_total counter\nunblock_x_total 1\n",
    );
    check("sum by (job) (rate(unblock_x_total[5m])) + unblock_no_such_total", &seen);
}

#[tokio::test]
async fn a_scrape_of_a_thousand_tasks_is_answered_at_once() {
    let mut gateway = Gateway::new();
    for index in 0..1_000 {
        gateway = gateway.wat(
            &format!("t{index}"),
            &format!("(module (func (export \"f\") (result i32) i32.const {index}))"),
        );
    }
    let server = gateway.set(|config| config.engine.compile_threads = 2).start();
    for index in 0..1_000 {
        server.get(&format!("/tasks/t{index}/f")).await.ok();
    }
    // The best of some: other tests run beside this one. The benchmark measures it on a quiet machine.
    let mut best = PATIENCE;
    for _ in 0..10 {
        let start = Instant::now();
        let text = server.get("/metrics").await.ok();
        best = best.min(start.elapsed());
        assert_eq!(text.lines().filter(|line| line.starts_with("unblock_calls_total{")).count(), 1_000);
    }
    eprintln!("a scrape of 1,000 tasks took {best:?}");
    assert!(best.as_millis() < 500, "{best:?}");
}
