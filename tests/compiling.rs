//! A large module that is dropped in while short calls go on, and very many small ones.
//!
//! All with the built program, whose threads are its own to be looked at: compiling takes at most
//! the threads it was given, at lower priority than everything else, and calls stay prompt.

use crate::support::process::Program;
use crate::support::{LOADING, client, until, until_within};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const ADD: &str =
    r#"(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#;

/// A module that takes seconds to compile: many functions, none like another.
pub fn large() -> Vec<u8> {
    let mut text = String::from("(module (memory 1)");
    for function in 0..6_000_u32 {
        let _ = write!(text, "(func (export \"f{function}\") (param i32 i32) (result i32) local.get 0");
        for step in 0..60_u32 {
            let constant = function.wrapping_mul(2_654_435_761).wrapping_add(step * 7_919);
            let _ = write!(
                text,
                " i32.const {} i32.xor local.get 1 i32.add i32.const {} i32.rotl local.tee 1 \
                 i32.const 65532 i32.and i32.load",
                constant as i32,
                step % 31 + 1
            );
        }
        text.push(')');
    }
    text.push(')');
    wat::parse_str(text).unwrap()
}

/// CPU time and niceness of each thread of a process, by name.
pub fn threads(id: u32) -> BTreeMap<String, (Duration, i32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        // One that has just ended has used its time up.
        let Ok(stat) = fs::read_to_string(entry.unwrap().path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        let fields: Vec<i64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // Fields 14, 15 and 19 of proc_pid_stat(5), in ticks of 10 ms.
        let ticks = u64::try_from(fields[11] + fields[12]).unwrap();
        let thread = found.entry(name.to_owned()).or_insert((Duration::ZERO, fields[16] as i32));
        thread.0 += Duration::from_millis(ticks * 10);
    }
    found
}

/// Times of short calls, one after the other, for as long as `going` says; sorted.
async fn call_while(program: &Program, mut going: impl AsyncFnMut() -> bool) -> Vec<Duration> {
    let (client, url) = (client(), program.url("/tasks/add/add?0=1&1=2"));
    let mut times = Vec::new();
    while going().await {
        let start = Instant::now();
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "3");
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compiling_a_large_module_delays_no_call_and_takes_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("add.wat"), ADD).unwrap();
    let program = Program::serve(folder.path(), &[]).await;
    let mut left = 200;
    let before = call_while(&program, async || {
        left -= 1;
        left > 0
    })
    .await;
    fs::write(folder.path().join(".large"), large()).unwrap();
    fs::rename(folder.path().join(".large"), folder.path().join("large.wasm")).unwrap();
    until("it is being compiled", async || program.status("/tasks/large").await == Some(503)).await;
    let (begin, start) = (Instant::now(), threads(program.id()));
    let during = call_while(&program, async || {
        assert!(begin.elapsed() < LOADING, "it is not compiled yet");
        program.status("/tasks/large").await == Some(503)
    })
    .await;
    let (took, end) = (begin.elapsed(), threads(program.id()));
    assert_eq!(program.text("/tasks/large/f0?0=0&1=0").await.parse::<i32>().map(|_| ()), Ok(()));
    let spent = |name: &str| {
        let time = |threads: &BTreeMap<String, (Duration, i32)>| {
            let these = threads.iter().filter(|(thread, _)| thread.starts_with(name));
            these.map(|(_, (time, _))| *time).sum::<Duration>()
        };
        time(&end).saturating_sub(time(&start))
    };
    // The module is large enough to tell, and all of the work is where it should be.
    let compiling = spent("compile");
    assert!(compiling > Duration::from_millis(500), "compiled in {compiling:?}: make it larger");
    assert!(compiling < took.mul_f64(1.1), "{compiling:?} of CPU in {took:?} is more than one thread");
    let others = spent("").saturating_sub(compiling);
    assert!(others < compiling, "{others:?} beside {compiling:?}");
    let nice: Vec<i32> =
        end.iter().filter(|(name, _)| name.starts_with("compile")).map(|(_, (_, nice))| *nice).collect();
    assert_eq!(nice, [10, 10], "{end:?}");
    // Half of the calls at least must not have felt it; the rest is the test machine's other load.
    let median = |times: &[Duration]| times[times.len() / 2];
    assert!(during.len() > 20, "{} calls in {took:?}", during.len());
    assert!(
        median(&during) < (median(&before) * 5).max(Duration::from_millis(20)),
        "median before {:?}, while compiling {:?}",
        median(&before),
        median(&during)
    );
    let late = during[during.len() * 9 / 10];
    assert!(late < Duration::from_millis(500), "one call in ten took {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_module_is_compiled_although_every_core_is_taken() {
    const LOOPS: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("loop.wat"), r#"(module (func (export "run") (loop br 0)))"#).unwrap();
    fs::write(folder.path().join("loop.toml"), "[limits]\nwall = \"10m\"\ncpu = \"5m\"\n").unwrap();
    let program = Program::serve(folder.path(), &[]).await;
    let (client, url) = (client(), program.url("/tasks/loop/run"));
    let loops: Vec<_> = (0..LOOPS).map(|_| tokio::spawn(client.post(&url).send())).collect();
    until("all of them run", async || program.text("/tasks/loop").await.contains("\"running\": 32")).await;
    fs::write(folder.path().join("add.wat"), ADD).unwrap();
    until("the new task", async || program.text("/tasks/add/add?0=1&1=2").await == "3").await;
    loops.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_modules_that_come_at_once_are_all_served() {
    const MODULES: usize = 10_000;
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = Program::serve(folder.path(), &["--cache", cache.path().to_str().unwrap()]).await;
    for number in 0..MODULES {
        let text = format!("(module (func (export \"get\") (result i32) i32.const {number}))");
        fs::write(folder.path().join(format!("t-{number}.wat")), text).unwrap();
    }
    let loaded = |program: &Program| program.log().matches(" loaded in ").count();
    until_within(LOADING, "all of them", async || {
        assert_eq!(program.status("/livez").await, Some(200));
        tokio::time::sleep(Duration::from_millis(50)).await;
        loaded(&program) == MODULES
    })
    .await;
    let each = async |program: &Program| {
        for number in (0..MODULES).step_by(397).chain([MODULES - 1]) {
            assert_eq!(program.text(&format!("/tasks/t-{number}/get")).await, number.to_string());
        }
    };
    until("the last snapshot", async || program.status("/tasks/t-9999").await == Some(200)).await;
    each(&program).await;
    drop(program);
    // And again, with nothing to be compiled.
    let flags = ["--cache", cache.path().to_str().unwrap(), "--log", "info,gateway::runtime::cache=debug"];
    let program = Program::serve(folder.path(), &flags).await;
    assert_eq!(program.log().matches(" taken from the cache").count(), MODULES);
    each(&program).await;
}

#[tokio::test]
async fn modules_over_the_room_for_maps_are_refused_by_name_and_the_others_serve() {
    // With as many runs as there are maps for, 1,500 modules and no more have room.
    let limit: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    let runs = (limit - 4_000) / 6;
    if runs > 20_000 {
        // A machine with more maps than runs may take: the bound is that of runs.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path(), &["--max-runs", &runs.to_string()]).await;
    for number in 0..1_600 {
        let text = format!("(module (func (export \"get\") (result i32) i32.const {number}))");
        fs::write(folder.path().join(format!("t-{number:04}.wat")), text).unwrap();
    }
    let mut listed = serde_json::Value::Null;
    let count = |listed: &serde_json::Value, key: &str| listed[key].as_array().map_or(0, Vec::len);
    until_within(LOADING, "all of them are judged", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        listed = serde_json::from_str(&program.text("/tasks").await).unwrap();
        count(&listed, "tasks") + count(&listed, "failures") == 1_600
    })
    .await;
    let refused = count(&listed, "failures");
    assert!((90..=100).contains(&refused), "{refused} are refused");
    let failure = &listed["failures"][0];
    assert!(failure["reason"].as_str().unwrap().contains("no room for one more module"), "{failure:#}");
    assert!(failure["remedies"].to_string().contains("sysctl -w vm.max_map_count="), "{failure:#}");
    let name = listed["tasks"][0]["name"].as_str().unwrap();
    let number: u32 = name.trim_start_matches("t-").parse().unwrap();
    assert_eq!(program.text(&format!("/tasks/{name}/get")).await, number.to_string());
    // With room again, a file that is touched is looked at again.
    let touched = failure["file"].as_str().unwrap();
    fs::remove_file(folder.path().join(format!("{name}.wat"))).unwrap();
    until("it is gone", async || program.status(&format!("/tasks/{name}")).await == Some(404)).await;
    let path = folder.path().join(touched);
    fs::write(&path, fs::read(&path).unwrap()).unwrap();
    let url = format!("/tasks/{}/get", touched.trim_end_matches(".wat"));
    until("the touched one serves", async || program.status(&url).await == Some(200)).await;
}

#[tokio::test]
async fn without_file_descriptors_it_is_not_the_task_that_is_to_blame() {
    const MODULES: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..MODULES {
        let text = format!(
            r#"(module (memory 1) (data (i32.const 0) "\{:02x}") (func (export "get") (result i32) i32.const 0 i32.load8_u))"#,
            number
        );
        fs::write(folder.path().join(format!("t-{number}.wat")), text).unwrap();
    }
    let limited = |limit: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_unblock")]);
        command.env_clear();
        let program = Program::start_with(command, folder.path(), &[]);
        async move {
            until_within(LOADING, "readiness", async || program.status("/readyz").await == Some(200)).await;
            program
        }
    };
    // One client with one connection, so that descriptors go to modules.
    let call = async |program: &Program| {
        let (client, mut served, mut refused) = (client(), 0, 0);
        for number in 0..MODULES {
            let reply = client.get(program.url(&format!("/tasks/t-{number}/get"))).send().await.unwrap();
            let (status, text) = (reply.status().as_u16(), reply.text().await.unwrap());
            match status {
                200 => {
                    assert_eq!(text, number.to_string());
                    served += 1;
                }
                503 => {
                    assert!(text.contains("memory-full") && text.contains("ulimit -n"), "{text}");
                    refused += 1;
                }
                _ => panic!("{status}: {text}"),
            }
        }
        (served, refused)
    };
    let program = limited("-n 48").await;
    let (served, refused) = call(&program).await;
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
    drop(program);
    // The soft limit is no limit.
    let program = limited("-Sn 48").await;
    assert_eq!(call(&program).await, (MODULES, 0));
}
