//! The built program from outside: starting, configuration, signals, `run`, `check`, the cache.
//!
//! Everything here goes through the command line, the environment, standard streams, exit codes
//! and signals. Exit codes: 0 went well, 1 the task failed or cannot be served, 2 the command line,
//! the configuration or the arguments are wrong, 130 stopped at once.

use crate::support::guests::{MEMORY, typed};
use crate::support::process::{Ended, Program, ended, files, run, taken_port, unblock};
use crate::support::{Gateway, client, eventually, repository, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const MATHS: &str = r#"(module
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "div") (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s)
  (func (export "loop") (loop br 0)))"#;

const MANIFEST: &str = "[functions.add]\ndescription = \"Adds.\"\nparams = [\"a\", \"b\"]\n";

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn maths() -> tempfile::TempDir {
    folder(&[("maths.wat", MATHS.as_bytes()), ("maths.toml", MANIFEST.as_bytes())])
}

fn text(path: PathBuf) -> String {
    path.to_str().unwrap().to_owned()
}

/// A call that goes on by itself: status and body, once it has ended.
fn call(program: &Program, path: &str) -> tokio::task::JoinHandle<(u16, String)> {
    let request = client().get(program.url(path)).send();
    tokio::spawn(async move {
        let response = request.await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    })
}

async fn running(program: &Program, task: &str) {
    until("a run", async || {
        let task: Value = serde_json::from_str(&program.text(&format!("/tasks/{task}")).await).unwrap();
        task["counts"]["running"] == 1
    })
    .await;
}

#[tokio::test]
async fn serve_says_where_it_listens_and_answers_there() {
    let folder = maths();
    let mut program = Program::serve(folder.path(), &[]).await;
    assert!(program.url("").starts_with("http://127.0.0.1:"), "{}", program.log());
    assert!(program.text("/").await.starts_with("Hello, world "));
    assert_eq!(program.text("/tasks/maths/add?a=1&b=2").await, "3");
    eventually("the task's line", || program.log().contains("loaded in"));
    assert!(!program.log().contains('\u{1b}'), "no colours where nobody looks");
    program.interrupt();
    assert_eq!(program.wait().code(), Some(0), "idle, SIGINT ends it at once");
}

#[tokio::test]
async fn the_log_is_json_where_that_is_asked_for() {
    let folder = maths();
    let program = Program::serve(folder.path(), &["--log-format", "json", "--log", "gateway=debug"]).await;
    assert_eq!(program.status("/nothing").await, Some(404));
    eventually("the line of the failed call", || program.log().contains("unknown-path"));
    for line in program.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn all_mistakes_of_the_configuration_are_told_before_a_port_is_bound() {
    let (_listener, taken) = taken_port();
    let missing = text(tempfile::tempdir().unwrap().path().join("none"));
    let flags = [
        "serve",
        "--listen",
        &taken,
        "--tasks",
        &missing,
        "--workers",
        "0",
        "--wall",
        "30",
        "--memory",
        "1 elephant",
    ];
    let Ended { code, stderr, .. } = ended(unblock().args(flags).env("UNBLOCK_GRACE", "soon"), b"");
    assert_eq!(code, Some(2), "{stderr}");
    for word in [
        "5 mistakes",
        "--tasks (or UNBLOCK_TASKS): cannot read the tasks folder",
        &format!("mkdir {missing}"),
        "--workers (or UNBLOCK_WORKERS): found \"0\"",
        "--wall (or UNBLOCK_WALL): found \"30\"",
        "--memory (or UNBLOCK_MEMORY): found \"1 elephant\"",
        "--grace (or UNBLOCK_GRACE): found \"soon\"",
    ] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    assert!(!stderr.contains("cannot listen"), "the port was not touched: {stderr}");
    let Ended { code, stderr, .. } = run(&["serve", "--wokers", "2"], b"");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--workers"), "{stderr}");
}

#[test]
fn a_taken_port_names_the_flag() {
    let (folder, (_listener, taken)) = (maths(), taken_port());
    let tasks = folder.path().to_str().unwrap();
    let Ended { code, stderr, .. } =
        run(&["serve", "--tasks", tasks, "--listen", &taken, "--max-runs", "64"], b"");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&taken) && stderr.contains("choose another with --listen"), "{stderr}");
}

#[tokio::test]
async fn a_signal_drains_readiness_turns_and_calls_in_flight_finish() {
    let folder = maths();
    for file in ["sleep.wasm", "sleep.toml"] {
        std::fs::copy(repository().join("tasks").join(file), folder.path().join(file))
            .expect("run `just build-tasks`");
    }
    let mut program = Program::serve(folder.path(), &[]).await;
    let in_flight = call(&program, "/sleep/1.2");
    running(&program, "sleep").await;
    program.terminate();
    until("readiness to turn", async || program.status("/readyz").await == Some(503)).await;
    let reply = client().get(program.url("/tasks/maths/add?a=1&b=2")).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    let problem: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    assert_eq!(problem["type"], "/problems/draining", "{problem:#}");
    assert_eq!(program.status("/livez").await, Some(200));
    let (status, body) = in_flight.await.unwrap();
    assert!(status == 200 && body.starts_with("Awake! "), "{status} {body}");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    assert!(program.log().contains("draining") && program.log().contains("stopped"), "{}", program.log());
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let folder = maths();
    let mut program = Program::serve(folder.path(), &[]).await;
    let in_flight = client().get(program.url("/tasks/maths/loop")).send();
    let in_flight = tokio::spawn(async move { in_flight.await.is_err() });
    running(&program, "maths").await;
    program.terminate();
    eventually("the drain", || program.log().contains("a second signal stops at once"));
    program.interrupt();
    assert_eq!(program.wait().code(), Some(130), "{}", program.log());
    assert!(in_flight.await.unwrap(), "the call has lost its server");
}

#[tokio::test]
async fn a_run_that_outlasts_the_grace_is_stopped_with_a_problem() {
    let folder = maths();
    let mut program = Program::serve(folder.path(), &["--grace", "100ms"]).await;
    let in_flight = call(&program, "/tasks/maths/loop");
    running(&program, "maths").await;
    program.terminate();
    let (status, body) = in_flight.await.unwrap();
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["type"]), (503, &json!("/problems/draining")), "{problem:#}");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

#[test]
fn run_takes_arguments_by_position_by_name_and_as_json() {
    let folder = maths();
    let file = text(folder.path().join("maths.wat"));
    for arguments in [
        &["add", "40", "2"][..],
        &["add", "a=40", "b=2"],
        &["add", "{\"a\": 40, \"b\": 2}"],
        &["add", "[40, 2]"],
        &["--json", "add", "44", "-2"],
        &["add(40, 2)"],
        &["--wave", "add(40, 2)"],
        &["--wave", "add", "40", "2"],
        &["--wave", "add", "b=2", "40"],
        &["--wave", "add", "{b: 2, a: 40}"],
        &["--wave", "add", "(40, 2)"],
    ] {
        let arguments: Vec<&str> = ["run", &file].into_iter().chain(arguments.iter().copied()).collect();
        let Ended { code, stdout, stderr } = run(&arguments, b"");
        assert_eq!((code, stdout.as_str()), (Some(0), "42\n"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn run_reads_and_writes_wave() {
    let folder = folder(&[("words.wasm", &words()), ("call.wave", b"{name: \"x\"}")]);
    let (file, document) = (text(folder.path().join("words.wasm")), text(folder.path().join("call.wave")));
    for (arguments, expected) in [
        (&["same(\"a (b)\")"][..], "a (b)"),
        (&["--wave", "same(\"a\")"], "\"a\"\n"),
        (&["--wave", "same", "\"\\u{fc}\" // a comment"], "\"\u{fc}\"\n"),
        (&["--wave", "same", "name=\"x\""], "\"x\"\n"),
        (&["--wave", "keep", "[104, 105]"], "[104, 105]\n"),
        (&["keep([104, 105])"], "hi"),
        // Without a function of that name, a text is a text.
        (&["same", "other(1)"], "other(1)"),
        (&["keep", "--body", &document], "{name: \"x\"}"),
    ] {
        let Ended { code, stdout, stderr } = run(&[&["run", &file], arguments].concat(), b"");
        assert_eq!((code, stdout.as_str()), (Some(0), expected), "{arguments:?}: {stderr}");
    }
    for (arguments, told) in [
        (&["same(1)"][..], "/0: expected string, found `1` at line 1, column 2"),
        (&["--wave", "same", "x"], "/0: expected string, found `x` at line 1, column 2"),
        (&["smae(\"x\")"], "did you mean same?"),
        (&["same(\"x\")", "--body", &document], "found a call with its arguments and --body"),
        (&["--wave", "--json", "same", "x"], "cannot be used with"),
    ] {
        let Ended { code, stderr, .. } = run(&[&["run", &file], arguments].concat(), b"");
        assert!(code == Some(2) && stderr.contains(told), "{arguments:?}: {code:?} {stderr}");
    }
}

/// `keep` gives its bytes back, `greet` returns `err` for an empty name, else the name.
fn words() -> Vec<u8> {
    let wit = "package t:t; world w {
  export keep: func(bytes: list<u8>) -> list<u8>;
  export same: func(name: string) -> result<string, string>;
}";
    let core = format!(
        r#"(module {MEMORY}
  (data (i32.const 64) "no name")
  (func (export "keep") (param i32 i32) (result i32)
    (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))
  (func (export "same") (param i32 i32) (result i32)
    (i32.store (i32.const 0) (i32.eqz (local.get 1)))
    (i32.store (i32.const 4) (select (local.get 0) (i32.const 64) (local.get 1)))
    (i32.store (i32.const 8) (select (local.get 1) (i32.const 7) (local.get 1))) (i32.const 0)))"#
    );
    typed(wit, &core)
}

#[test]
fn run_reads_a_body_and_writes_what_the_server_would() {
    let folder = folder(&[("words.wasm", &words()), ("body.bin", b"from a file")]);
    let (file, body) = (text(folder.path().join("words.wasm")), text(folder.path().join("body.bin")));
    let written = |arguments: &[&str], input: &[u8]| {
        let Ended { code, stdout, stderr } = run(&[&["run", &file], arguments].concat(), input);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    };
    assert_eq!(written(&["--body", "-", "keep"], b"from a pipe"), "from a pipe");
    assert_eq!(written(&["keep", "--body", &body], b""), "from a file");
    assert_eq!(written(&["same", "J\u{fc}rgen"], b""), "J\u{fc}rgen");
    assert_eq!(written(&["same", "name=a=b"], b""), "a=b");
    assert_eq!(written(&["same", "--", "--json"], b""), "--json");
    assert_eq!(written(&["--json", "same", "x"], b""), "\"x\"\n");
    let Ended { code, stderr, .. } = run(&["run", &file, "same", ""], b"");
    assert_eq!((code, stderr.as_str()), (Some(1), "unblock: task-error: no name\n"));
    let Ended { code, stderr, .. } = run(&["run", "--json", &file, "same", ""], b"");
    let problem: Value = serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    assert_eq!(
        (code, &problem["problem"], &problem["value"]),
        (Some(1), &json!("task-error"), &json!("no name"))
    );
}

#[tokio::test]
async fn run_fails_in_the_words_of_the_server() {
    let folder = maths();
    let file = text(folder.path().join("maths.wat"));
    let server = Gateway::new().wat("maths", MATHS).manifest("maths", MANIFEST).start();
    for (path, arguments, code) in [
        ("/tasks/maths/add?a=x&b=1", &["add", "x", "1"][..], 2),
        ("/tasks/maths/add?a=1", &["add", "1"], 2),
        ("/tasks/maths/ad", &["ad"], 2),
        ("/tasks/maths/div?0=1&1=0", &["div", "1", "0"], 1),
    ] {
        let problem = server.get(path).await.json();
        let Ended { code: found, stderr, stdout } = run(&[&["run", &file], arguments].concat(), b"");
        assert_eq!((found, stdout.as_str()), (Some(code), ""), "{stderr}");
        let (slug, detail) = (problem["type"].as_str().unwrap(), problem["detail"].as_str().unwrap());
        let expected = format!("unblock: {}: {detail}", slug.trim_start_matches("/problems/"));
        assert!(stderr.starts_with(&expected), "{expected}\n{stderr}");
    }
    let Ended { code, stderr, .. } = run(&["run", &file, "add", "1", "2", "3"], b"");
    assert!(code == Some(2) && stderr.contains("found one argument more, \"3\""), "{stderr}");
    let Ended { code, stderr, .. } = run(&["run", "--wall", "50ms", &file, "loop"], b"");
    assert!(code == Some(1) && stderr.contains("deadline-exceeded") && stderr.contains("50ms"), "{stderr}");
    let Ended { code, stderr, .. } = run(&["run", "/nowhere/at.wasm"], b"");
    assert!(code == Some(1) && stderr.contains("there is no file /nowhere/at.wasm"), "{stderr}");
}

#[test]
fn check_tells_what_a_module_is_and_what_is_wrong_with_it() {
    let bad = "(module (import \"env\" \"print\" (func)) (import \"wasi_snapshot_preview1\" \"sock_open\" (func)) (func (export \"f\")))";
    let folder = folder(&[
        ("maths.wat", MATHS.as_bytes()),
        ("maths.toml", MANIFEST.as_bytes()),
        ("bad.wat", bad.as_bytes()),
        ("elf.wasm", b"\x7fELF\x02\x01\x01\xff"),
        ("cut.wasm", &words()[..400]),
        ("strict.wat", MATHS.as_bytes()),
        ("strict.toml", b"[limits]\nwal = \"1s\"\n"),
    ]);
    let check = |arguments: &[&str], file: &str| {
        let file = text(folder.path().join(file));
        run(&[&["check"], arguments, &[&file]].concat(), b"")
    };
    let good = check(&[], "maths.wat");
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    for word in
        ["core-module", "add: func(a: s32, b: s32) -> s32", "Adds.", "div: func(0: s32, 1: s32) -> s32"]
    {
        assert!(good.stdout.contains(word), "{word}: {}", good.stdout);
    }
    let good = check(&["--json"], "maths.wat");
    let described: Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!((&described["served"], &described["task"]), (&json!(true), &json!("maths")), "{described:#}");
    assert_eq!(described["functions"][0]["type"], "func(a: s32, b: s32) -> s32");
    for (file, words) in [
        ("bad.wat", &["env.print", "wasi_snapshot_preview1.sock_open", "rebuild"][..]),
        ("elf.wasm", &["7f 45 4c 46", "wasm32-wasip2"]),
        ("cut.wasm", &["cut short"]),
        ("strict.wat", &["strict.toml", "line 2", "`wall`"]),
        ("none.wasm", &["there is no file"]),
    ] {
        let found = check(&[], file);
        assert_eq!((found.code, found.stdout.as_str()), (Some(1), ""), "{file}: {}", found.stderr);
        let found_json = check(&["--json"], file);
        assert_eq!(found_json.code, Some(1), "{file}");
        let document: Value = serde_json::from_str(&found_json.stdout).unwrap();
        assert_eq!(document["served"], false, "{document:#}");
        for word in words {
            assert!(found.stderr.contains(word), "{file}, {word}: {}", found.stderr);
            assert!(found_json.stdout.contains(word), "{file}, {word}: {}", found_json.stdout);
        }
    }
}

#[test]
fn help_shows_examples_and_a_bare_call_is_a_question() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["run", "--help"], &["check", "--help"]] {
        let help = run(arguments, b"");
        assert!(
            help.code == Some(0) && help.stdout.contains("Examples:\n  "),
            "{arguments:?}: {}",
            help.stdout
        );
    }
    let bare = run(&[], b"");
    assert!(bare.code == Some(2) && bare.stdout.contains("Usage: unblock"), "{}", bare.stdout);
}

/// What the program shows on a terminal of its own, which `script` makes.
fn on_a_terminal(command: &str, no_color: bool) -> String {
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", command, "/dev/null"]).env("TERM", "xterm-256color");
    script.env_remove("NO_COLOR").env_remove("CLICOLOR").env("UNBLOCK_CACHE", "off");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    ended(&mut script, b"").stdout
}

#[test]
fn colours_are_for_terminals_and_no_color_turns_them_off() {
    let folder = maths();
    let program = env!("CARGO_BIN_EXE_unblock");
    let tasks = folder.path().display();
    let wrong = format!("{program} serve --wokers 2");
    let log =
        format!("timeout --signal TERM 1 {program} serve --max-runs 64 --listen 127.0.0.1:0 --tasks {tasks}");
    std::thread::scope(|scope| {
        for (command, word) in [(&wrong, "--wokers"), (&log, "listening")] {
            for no_color in [false, true] {
                scope.spawn(move || {
                    let shown = on_a_terminal(command, no_color);
                    assert!(shown.contains(word), "{shown}");
                    assert_eq!(shown.contains("\u{1b}["), !no_color, "{shown:?}");
                });
            }
        }
    });
}

/// The compiled code in a cache folder, without the cache's own statistics.
fn entries(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(cache).into_iter().filter(|(path, _)| path.extension().is_none()).collect()
}

fn counted(cache: &Path, file: &Path) -> Ended {
    ended(unblock().arg("run").arg("--cache").arg(cache).arg(file).arg("count"), b"")
}

#[test]
fn compiled_code_is_taken_from_the_cache() {
    let module = |n: u32| format!("(module (func (export \"count\") (result i32) i32.const {n}))");
    let folder = folder(&[("one.wat", module(1).as_bytes()), ("two.wat", module(2).as_bytes())]);
    let cache = tempfile::tempdir().unwrap();
    let count = |name: &str| counted(cache.path(), &folder.path().join(name)).stdout;
    assert_eq!(count("one.wat"), "1\n");
    let first = entries(cache.path());
    assert_eq!(first.len(), 1, "one entry: {:?}", first.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert_eq!(count("two.wat"), "2\n");
    let both = entries(cache.path());
    assert_eq!(both.len(), 2);
    // A compilation writes its entry anew, under another inode; a second run leaves it where it is.
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&first[0].0);
    assert_eq!(count("one.wat"), "1\n");
    assert_eq!(inode(&first[0].0), before, "the entry was written again");
    // An entry under another's name is whole, but not that module's code: it is compiled again.
    std::fs::write(&both[0].0, &both[1].1).unwrap();
    std::fs::write(&both[1].0, &both[0].1).unwrap();
    assert_eq!((count("one.wat"), count("two.wat")), ("1\n".to_owned(), "2\n".to_owned()));
    assert_ne!(inode(&first[0].0), before, "the entry was not written again");
}

#[test]
fn a_corrupt_cache_entry_is_compiled_again() {
    let folder = folder(&[]);
    let (cache, file) = (tempfile::tempdir().unwrap(), folder.path().join("primes.wat"));
    std::fs::copy(repository().join("tasks/primes.wat"), &file).unwrap();
    let count = || {
        ended(unblock().arg("run").arg("--cache").arg(cache.path()).arg(&file).args(["count", "1000"]), b"")
    };
    assert_eq!(count().stdout, "168\n");
    let good = entries(cache.path());
    assert_eq!(good.len(), 1);
    let bytes = &good[0].1;
    let flip = |places: &mut dyn Iterator<Item = usize>| {
        let mut bytes = bytes.clone();
        for place in places {
            bytes[place] ^= 0xff;
        }
        bytes
    };
    let last = bytes.len() - 1;
    for (how, bad) in [
        ("empty", Vec::new()),
        ("cut in half", bytes[..bytes.len() / 2].to_vec()),
        ("its last byte gone", bytes[..last].to_vec()),
        ("all flipped", flip(&mut (0..bytes.len()))),
        ("the first byte flipped", flip(&mut std::iter::once(0))),
        ("the last byte flipped", flip(&mut std::iter::once(last))),
        ("a byte in the middle flipped", flip(&mut std::iter::once(bytes.len() / 2))),
        ("a byte in the first quarter flipped", flip(&mut std::iter::once(bytes.len() / 4))),
        ("a byte in the last quarter flipped", flip(&mut std::iter::once(bytes.len() * 3 / 4))),
    ] {
        std::fs::write(&good[0].0, &bad).unwrap();
        let Ended { code, stdout, stderr } = count();
        assert_eq!((code, stdout.as_str()), (Some(0), "168\n"), "{how}: {stderr}");
    }
}
