//! Faults around the gateway: no room, no log, a mount that goes, host code that panics, clients that
//! stall, and SIGTERM in every state. Each has a stated outcome; `docs/reliability.md` lists them.

use crate::access::Tokens;
use crate::compiling::{large, threads};
use crate::support::crowd::{Caller, Crowd, LOOPS, LOOPS_MANIFEST};
use crate::support::process::{Program, unblock};
use crate::support::{Gateway, LOADING, client, eventually, guest, until, until_within};
use gateway::runtime::ExtraImports;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ONE: &str = "(module (func (export \"get\") (result i32) i32.const 1))";
const TWO: &str = "(module (func (export \"get\") (result i32) i32.const 2))";

/// Longer than any test waits, so that it is not what ends a call.
const ENDLESS: &str = "[limits]\nwall = \"10m\"\ncpu = \"5m\"\nqueue_wait = \"5m\"\n";

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Puts a module in text: the status, and the problem's type if there is one.
async fn put(program: &Program, token: &str, name: &str, body: String) -> (u16, String) {
    let request = client().put(program.url(&format!("/tasks/{name}"))).bearer_auth(token);
    let reply = request.header("content-type", "text/wat").body(body).send().await.unwrap();
    let status = reply.status().as_u16();
    let document: serde_json::Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    (status, document["type"].as_str().unwrap_or_default().to_owned())
}

/// What a call of a task's `get` gives.
async fn get(program: &Program, token: &str, task: &str) -> String {
    let request = client().get(program.url(&format!("/tasks/{task}/get"))).bearer_auth(token);
    request.send().await.unwrap().text().await.unwrap()
}

// Host code.

fn bang() {
    panic!("host code at fault");
}

/// Host functions that panic: at once, and after a wait, when a worker has taken the run up again.
fn panics() -> ExtraImports {
    Box::new(|linker| {
        linker.func_wrap("test", "bang", bang)?;
        linker.func_wrap_async("test", "bang-later", |_, (): ()| {
            Box::new(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                bang();
            })
        })?;
        Ok(())
    })
}

#[tokio::test]
async fn a_panic_in_host_code_fails_its_call_and_leaves_the_pool_whole() {
    const WORKERS: usize = 2;
    const ROUNDS: usize = 10;
    let bombs = r#"(module (import "test" "bang" (func $bang)) (import "test" "bang-later" (func $later))
        (func (export "bang") (call $bang)) (func (export "later") (call $later)))"#;
    let alone = Crowd::alone();
    let gateway = Gateway::new().wat("bombs", bombs).wat("loops", LOOPS).manifest("loops", LOOPS_MANIFEST);
    let server =
        gateway.imports(panics()).set(|config| config.workers = NonZeroUsize::new(WORKERS).unwrap()).start();
    for round in 0..ROUNDS {
        let all =
            (0..WORKERS).flat_map(|_| [server.get("/tasks/bombs/bang"), server.get("/tasks/bombs/later")]);
        for reply in futures_util::future::join_all(all).await {
            reply.problem(500, "internal");
            assert!(!reply.text().contains("at fault"), "the cause is for the log: {}", reply.text());
        }
        assert_eq!(server.get("/tasks/loops/short?0=1").await.ok(), "2", "round {round}");
    }
    let stats = server.pool();
    assert_eq!(stats.panicked, (ROUNDS * WORKERS * 2) as u64);
    eventually("all is given back", || server.pool().permits == 0 && server.app().memory().held_bytes() == 0);
    // As many runs at once as there are workers: none was lost.
    let endless: Vec<_> = (0..WORKERS).map(|_| Caller::get(&server, "/tasks/loops/endless")).collect();
    eventually("every worker runs", || server.pool().running == WORKERS);
    assert_eq!(server.get("/tasks/loops/short?0=1").await.ok(), "2", "and gives way");
    drop(endless);
    drop(alone);
}

// No room, and no log.

#[tokio::test]
async fn an_upload_that_finds_no_room_changes_nothing() {
    let tokens = Tokens::new();
    let token = tokens.with(&["manage"]);
    let folder = folder(&[("one.wat", ONE.as_bytes())]);
    // A bound on the size of files fails a write in its middle, as a full disk does.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_unblock")]);
    command.env_clear();
    let program = Program::start_with(command, folder.path(), &["--tokens", tokens.path.to_str().unwrap()]);
    until_within(LOADING, "readiness", async || program.status("/readyz").await == Some(200)).await;
    let wide = |text: &str| format!("{text}{}", " ".repeat(60_000));
    for name in ["one", "new"] {
        let refused = put(&program, &token, name, wide(TWO)).await;
        assert_eq!(refused, (500, "/problems/internal".to_owned()), "{name}");
    }
    assert_eq!(names(folder.path()), ["one.wat"], "nothing half-written stays");
    assert_eq!(get(&program, &token, "one").await, "1");
    eventually("the cause", || program.log().contains("writing into the tasks folder: File too large"));
    // What finds room is taken.
    assert_eq!(put(&program, &token, "one", TWO.to_owned()).await, (200, String::new()));
    assert_eq!(get(&program, &token, "one").await, "2");
}

/// A gateway whose log leads nowhere, so that its port has to be chosen for it.
struct Silent(Child, String);

impl Silent {
    async fn start(folder: &Path, log: Stdio) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = unblock();
        command.args(["serve", "--listen", &port, "--max-runs", "16", "--cache", "off", "--log", "debug"]);
        command.arg("--tasks").arg(folder).stdout(Stdio::null()).stderr(log);
        let mut silent = Self(command.spawn().unwrap(), format!("http://{port}"));
        // Nobody reads the other end, if it has one.
        drop(silent.0.stderr.take());
        until_within(LOADING, "readiness", async || {
            assert!(silent.0.try_wait().unwrap().is_none(), "it ended");
            let asked = client().get(format!("{}/readyz", silent.1)).send().await;
            asked.is_ok_and(|response| response.status() == 200)
        })
        .await;
        silent
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let folder = folder(&[("one.wat", ONE.as_bytes()), ("bad.wat", b"(module")]);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for (what, log) in [("a full disk", full()), ("a reader that has gone", Stdio::piped())] {
        let mut silent = Silent::start(folder.path(), log).await;
        for _ in 0..20 {
            for (path, status) in [("/tasks/one/get", 200), ("/tasks/bad/get", 503), ("/nothing", 404)] {
                let reply = client().get(format!("{}{path}", silent.1)).send().await.unwrap();
                assert_eq!(reply.status().as_u16(), status, "{what}: {path}");
            }
        }
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&silent.0),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        let mut ended = None;
        eventually("its end", || {
            ended = silent.0.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(0), "{what}");
    }
}

// A file system of its own.

/// Runs something among the mounts of a program.
fn among(program: &Program, arguments: &[&str]) -> bool {
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &program.id().to_string(), "--"]).args(arguments);
    command.stderr(Stdio::null()).status().unwrap().success()
}

#[tokio::test]
async fn a_mount_that_turns_read_only_or_goes_leaves_what_serves() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let mounts = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", place])
        .stderr(Stdio::null())
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        // Only root has mounts of its own.
        return;
    }
    let tokens = Tokens::new();
    let token = tokens.with(&["manage"]);
    let script = format!("mount -t tmpfs none {place} && echo '{ONE}' >{place}/one.wat && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_unblock")]);
    let program = Program::start_with(command, folder.path(), &["--tokens", tokens.path.to_str().unwrap()]);
    until_within(LOADING, "readiness", async || program.status("/readyz").await == Some(200)).await;

    assert!(among(&program, &["mount", "-o", "remount,ro", place]));
    assert_eq!(put(&program, &token, "one", TWO.to_owned()).await, (500, "/problems/internal".to_owned()));
    eventually("the cause", || program.log().contains("Read-only file system"));
    assert_eq!(get(&program, &token, "one").await, "1");
    assert!(among(&program, &["mount", "-o", "remount,rw", place]));
    assert_eq!(put(&program, &token, "one", TWO.to_owned()).await, (200, String::new()));

    // The gateway keeps nothing open there, except while it looks.
    eventually("the mount's end", || among(&program, &["umount", place]));
    let listed = async || {
        let request = client().get(program.url("/tasks")).bearer_auth(&token);
        request.send().await.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    until("the folder among the failures", async || listed().await["failures"][0].is_object()).await;
    assert_eq!(get(&program, &token, "one").await, "2", "what is loaded goes on");
    let again = format!("mount -t tmpfs none {place} && echo '{ONE}' >{place}/one.wat");
    assert!(among(&program, &["sh", "-c", &again]));
    until("the folder that is back", async || get(&program, &token, "one").await == "1").await;
    until("no failures", async || listed().await["failures"] == serde_json::json!([])).await;
}

// Clients that stall.

/// Sends the head of a `GET` and reads nothing.
fn stalls(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    stream
}

/// What is left in a connection that the server has ended; fails if it has not.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut seen = Vec::new();
    if let Err(error) = stream.read_to_end(&mut seen) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection stays open: {error}");
    }
    seen
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_and_its_guest_ends() {
    const WRITE_TIMEOUT: Duration = Duration::from_millis(400);
    let gateway = ["http-p2", "http-p3"].into_iter().fold(Gateway::new(), |gateway, name| {
        gateway.file(&format!("{name}.wasm"), guest(name)).manifest(name, ENDLESS)
    });
    let server = gateway.set(|config| config.http.write_timeout = WRITE_TIMEOUT).start();
    for name in ["http-p2", "http-p3"] {
        let begun = Instant::now();
        let stream = stalls(&server.app().address().to_string(), &format!("/tasks/{name}/flood"));
        eventually("its run", || server.pool().permits == 1);
        eventually("the end of its run", || server.pool().permits == 0);
        assert!(begun.elapsed() >= WRITE_TIMEOUT, "{name}: {:?}", begun.elapsed());
        let seen = rest(stream);
        assert!(seen.starts_with(b"HTTP/1.1 200"), "{name}");
        assert!(!seen.ends_with(b"\r\n0\r\n\r\n"), "{name}: what broke off looks complete");
    }
    eventually("all is given back", || server.app().memory().held_bytes() == 0);
}

// SIGTERM in every state.

/// SIGTERM ends it by itself and with 0, whatever it was doing.
fn terminated(mut program: Program, doing: &str) {
    let begun = Instant::now();
    program.terminate();
    assert_eq!(program.wait().code(), Some(0), "{doing}: {}", program.log());
    assert!(program.log().contains("stopped"), "{doing}: {}", program.log());
    eprintln!("SIGTERM {doing}: ended after {:?}", begun.elapsed());
}

/// Waits until so many calls of a task are under way, those that wait for their turn included.
async fn under_way(program: &Program, task: &str, count: u64) {
    until("the calls", async || {
        let task: serde_json::Value =
            serde_json::from_str(&program.text(&format!("/tasks/{task}")).await).unwrap();
        task["counts"]["running"] == count
    })
    .await;
}

#[tokio::test]
async fn sigterm_while_a_task_loads_waits_for_no_compilation() {
    let folder = folder(&[("a.wat", ONE.as_bytes()), ("large.wasm", &large())]);
    let program = Program::start(folder.path(), &["--log", "info,gateway::runtime=debug"]);
    until_within(LOADING, "the small task", async || program.text("/tasks/a/get").await == "1").await;
    let compiling = || {
        let threads = threads(program.id());
        let these = threads.iter().filter(|(name, _)| name.starts_with("compile"));
        these.map(|(_, (time, _))| *time).sum::<Duration>()
    };
    eventually("the large one's turn", || compiling() >= Duration::from_millis(100));
    assert_eq!(program.status("/readyz").await, Some(503), "it loads: {}", program.log());
    terminated(program, "while a task loads");
}

#[tokio::test]
async fn sigterm_while_an_upload_is_judged_leaves_no_half_of_it() {
    let tokens = Tokens::new();
    let token = tokens.with(&["manage"]);
    let (folder, large) = (folder(&[]), large());
    let program = Program::serve(folder.path(), &["--tokens", tokens.path.to_str().unwrap()]).await;
    let request = client().put(program.url("/tasks/large")).bearer_auth(token).body(large.clone());
    let asked = tokio::spawn(request.header("content-type", "application/wasm").send());
    until("the module is judged", async || !threads(program.id())["manage"].0.is_zero()).await;
    terminated(program, "while an upload is judged");
    let status = asked.await.unwrap().ok().map(|response| response.status().as_u16());
    assert!(matches!(status, None | Some(503 | 201)), "{status:?}");
    let there = fs::read(folder.path().join("large.wasm"));
    assert!(there.is_err() || there.is_ok_and(|bytes| bytes == large), "half of it");
}

#[tokio::test]
async fn sigterm_while_idle_waits_for_no_client() {
    let folder = folder(&[("a.wat", ONE.as_bytes())]);
    let program = Program::serve(folder.path(), &[]).await;
    let address = program.socket().to_owned();
    let connect = |text: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut kept = connect("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut answer = [0; 12];
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let others = [
        "",
        "GET /livez HTTP/1.1\r\nhos",
        "POST /tasks/a/get HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[",
    ];
    let others = others.map(connect);
    // They are accepted in order.
    assert_eq!(program.status("/livez").await, Some(200));
    terminated(program, "while idle, with four clients that say nothing");
    for stream in others.into_iter().chain([kept]) {
        rest(stream);
    }
}

#[tokio::test]
async fn sigterm_while_calls_run_and_wait_tells_each_of_them() {
    let one_at_a_time = format!("{ENDLESS}concurrency = 1\nqueue = 10\n");
    let text = "(module (func (export \"run\") (loop br 0)))";
    let folder = folder(&[("loop.wat", text.as_bytes()), ("loop.toml", one_at_a_time.as_bytes())]);
    let program = Program::serve(folder.path(), &["--grace", "300ms"]).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let asked = client().get(program.url("/tasks/loop/run")).send();
            tokio::spawn(async move { asked.await.unwrap().json::<serde_json::Value>().await.unwrap() })
        })
        .collect();
    under_way(&program, "loop", 4).await;
    // On a thread of its own: the calls are to be answered meanwhile.
    let ended = tokio::task::spawn_blocking(|| terminated(program, "while a call runs and three wait"));
    for call in calls {
        let problem = call.await.unwrap();
        assert_eq!((&problem["status"], &problem["type"]), (&503.into(), &"/problems/draining".into()));
    }
    ended.await.unwrap();
}

/// Reads a body by itself; whether it was whole.
fn read_to_the_end(mut response: reqwest::Response) -> tokio::task::JoinHandle<bool> {
    tokio::spawn(async move {
        loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    })
}

#[tokio::test]
async fn sigterm_while_responses_stream_lets_them_end_within_the_grace_and_breaks_off_the_others() {
    let folder = folder(&[("http.wasm", &guest("http-p2")), ("http.toml", ENDLESS.as_bytes())]);
    let response = async |program: &Program, path: &str| {
        let response = client().get(program.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    };
    let program = Program::serve(folder.path(), &[]).await;
    let whole = read_to_the_end(response(&program, "/tasks/http/first-byte?ms=1500").await);
    let ended = tokio::task::spawn_blocking(|| terminated(program, "while a response streams to its end"));
    assert!(whole.await.unwrap(), "it had the time");
    ended.await.unwrap();

    let program = Program::serve(folder.path(), &["--grace", "300ms"]).await;
    let endless = read_to_the_end(response(&program, "/tasks/http/flood").await);
    let ended = tokio::task::spawn_blocking(|| terminated(program, "while a response streams for ever"));
    assert!(!endless.await.unwrap(), "what broke off looks complete");
    ended.await.unwrap();
}

#[tokio::test]
async fn sigterm_while_a_client_stalls_waits_for_the_grace_only() {
    let folder = folder(&[("http.wasm", &guest("http-p2")), ("http.toml", ENDLESS.as_bytes())]);
    let program = Program::serve(folder.path(), &["--grace", "300ms"]).await;
    let stream = stalls(program.socket(), "/tasks/http/flood");
    under_way(&program, "http", 1).await;
    terminated(program, "while a client takes nothing of its response");
    assert!(!rest(stream).ends_with(b"\r\n0\r\n\r\n"), "what broke off looks complete");
}
