//! Clients that want too much: slow ones, idle ones, many at once, huge heads, more than they may.

use crate::access::Tokens;
use crate::support::process::{run, unblock};
use crate::support::{Gateway, LOADING, PATIENCE, Server, client, eventually, until, until_within};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const ADD: &str =
    "(module (func (export \"add\") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))";

/// Reads until the server closes; fails if it does not.
fn to_the_end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection stays open: {error}"),
    }
    String::from_utf8_lossy(&reply).into_owned()
}

fn impatient() -> Gateway {
    Gateway::new().wat("add", ADD).set(|config| {
        config.http.header_timeout = Duration::from_millis(400);
        config.http.body_timeout = Duration::from_millis(400);
    })
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_off() {
    let server = impatient().start();
    let mut stream = TcpStream::connect(server.app().address()).unwrap();
    let begun = Instant::now();
    // A byte now and then, which never lets the connection rest.
    let mut sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n");
    while sent.is_ok() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
        sent = stream.write_all(b"a");
    }
    assert!(begun.elapsed() < PATIENCE, "it may dribble for ever");
    to_the_end(&mut stream);
    // Between two requests it has the same time.
    let mut stream = TcpStream::connect(server.app().address()).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(to_the_end(&mut stream).contains("ok"));
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_body_that_dribbles_is_cut_off() {
    let server = impatient().start();
    let mut stream = TcpStream::connect(server.app().address()).unwrap();
    stream
        .write_all(b"POST /tasks/add/add HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n[")
        .unwrap();
    let begun = Instant::now();
    let dribbling = {
        let mut stream = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while begun.elapsed() < PATIENCE && stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 408");
    drop(stream.shutdown(std::net::Shutdown::Both));
    dribbling.join().unwrap();
}

#[tokio::test]
async fn a_head_of_too_many_or_too_large_fields_is_431() {
    let server = Gateway::new().wat("add", ADD).start();
    let ask = |fields: String| {
        let mut stream = TcpStream::connect(server.app().address()).unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n");
        // It may have heard enough before the end.
        let _ = stream.write_all(head.as_bytes());
        to_the_end(&mut stream)
    };
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    assert!(ask(fields(50)).starts_with("HTTP/1.1 200"));
    for many in [fields(200), fields(20_000), format!("x: {}\r\n", "y".repeat(1_000_000))] {
        let reply = ask(many);
        assert!(reply.starts_with("HTTP/1.1 431") || reply.is_empty(), "{reply:.80}");
    }
    assert_eq!(server.get("/livez").await.status, 200);
}

/// Opens connections that say nothing.
fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[tokio::test]
async fn connections_over_the_bound_wait_for_one_that_ends() {
    let server = Gateway::new().set(|config| config.http.connections_max = 8).start();
    let mut held = idle(server.app().address(), 8);
    let mut next = TcpStream::connect(server.app().address()).unwrap();
    next.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    next.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let early = next.read(&mut [0]).expect_err("it is not its turn");
    assert!(matches!(early.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{early}");
    held.pop();
    assert!(to_the_end(&mut next).starts_with("HTTP/1.1 200"));
    // Those that say nothing make room by themselves.
    let server = impatient().set(|config| config.http.connections_max = 8).start();
    let _held = idle(server.app().address(), 8);
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_thousand_idle_connections_disturb_nobody() {
    let server = Gateway::new().wat("add", ADD).start();
    let held = idle(server.app().address(), 1_000);
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(server.get("/tasks/add/add?0=1&1=2").await.ok(), "3");
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(held);
}

/// A gateway that may have few files open.
struct Poor(Child, SocketAddr);

impl Poor {
    async fn start(folder: &std::path::Path, files: u32, flags: &str) -> Self {
        // A free port, since the log is not looked at.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let command = format!(
            "ulimit -n {files}; exec {} serve --tasks {} --listen {port} --max-runs 16 --workers 1 --http-threads 1 --cache off {flags}",
            env!("CARGO_BIN_EXE_unblock"),
            folder.display()
        );
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).stdout(Stdio::null()).stderr(Stdio::null());
        let poor = Self(shell.spawn().unwrap(), port);
        until_within(LOADING, "readiness", async || {
            let asked = client().get(format!("http://{port}/readyz")).send().await;
            asked.is_ok_and(|response| response.status() == 200)
        })
        .await;
        poor
    }

    /// Processor time that it took so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn out_of_files_the_gateway_neither_ends_nor_spins() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("add.wat"), ADD).unwrap();
    // More connections than there are files, as the operator wished.
    let mut poor = Poor::start(folder.path(), 100, "--max-connections 1000").await;
    let held = idle(poor.1, 150);
    let before = (poor.ticks(), Instant::now());
    // It is out of files all that time.
    std::thread::sleep(Duration::from_secs(2));
    let busy = (poor.ticks() - before.0) as f64 / 100.0 / before.1.elapsed().as_secs_f64();
    assert!(busy < 0.3, "{busy} of a core");
    assert!(poor.0.try_wait().unwrap().is_none(), "it ended");
    drop(held);
    let url = format!("http://{}/tasks/add/add?0=1&1=2", poor.1);
    until("an answer again", async || {
        let asked = client().get(&url).timeout(Duration::from_secs(2)).send().await;
        asked.is_ok_and(|response| response.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn by_default_connections_leave_files_to_calls() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("add.wat"), ADD).unwrap();
    let poor = Poor::start(folder.path(), 164, "").await;
    let held = idle(poor.1, 300);
    eventually("as many connections as are let in", || {
        std::fs::read_dir(format!("/proc/{}/fd", poor.0.id())).unwrap().count() >= 75
    });
    // Three quarters of a hundred, and what the gateway itself has open.
    let open = std::fs::read_dir(format!("/proc/{}/fd", poor.0.id())).unwrap().count();
    assert!(open < 140, "{open}");
    // A task that is put there now is found, which needs files.
    drop(held);
    std::fs::write(folder.path().join("new.wat"), ADD).unwrap();
    let url = format!("http://{}/tasks/new/add?0=1&1=2", poor.1);
    until_within(LOADING, "the new task", async || {
        let asked = client().get(&url).timeout(Duration::from_secs(2)).send().await;
        asked.is_ok_and(|response| response.status() == 200)
    })
    .await;
}

fn limited(text: &str) -> Gateway {
    let rate = gateway::http::Rate::parse(text).unwrap();
    Gateway::new().wat("add", ADD).set(move |config| config.http.rate = Some(rate))
}

async fn statuses(server: &Server, path: &str, token: Option<&str>, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        let mut request = client().get(server.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        statuses.push(server.send(request).await.status);
    }
    statuses
}

#[tokio::test]
async fn a_client_over_its_rate_gets_429_and_is_told_when_to_come_back() {
    let server = limited("5/m").start();
    let first = server.get("/tasks/add").await;
    assert_eq!(first.header("ratelimit-policy"), Some("\"client\";q=5;w=60"));
    assert_eq!(first.header("ratelimit"), Some("\"client\";r=4"));
    assert_eq!(statuses(&server, "/tasks/add/add?0=1&1=2", None, 4).await, [200; 4]);
    let refused = server.get("/tasks/add").await;
    let problem = refused.problem(429, "rate-limited");
    assert_eq!(problem["blame"], "caller");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").unwrap().starts_with("\"client\";r=0;t="));
    // Probes are nobody's requests.
    assert_eq!(statuses(&server, "/livez", None, 10).await, [200; 10]);
    assert_eq!(server.get("/livez").await.header("ratelimit"), None);
}

#[tokio::test]
async fn each_token_has_a_rate_of_its_own_and_guesses_share_that_of_their_address() {
    let tokens = Tokens::new();
    let (one, other) = (tokens.with(&["read"]), tokens.with(&["read"]));
    let server = tokens.guard(limited("3/m")).start();
    assert_eq!(statuses(&server, "/tasks", Some(&one), 4).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&server, "/tasks", Some(&other), 4).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&server, "/tasks", Some("guess"), 2).await, [401, 401]);
    assert_eq!(statuses(&server, "/tasks", Some("another guess"), 2).await, [401, 429]);
    assert_eq!(statuses(&server, "/", None, 1).await, [429]);
}

#[tokio::test]
async fn without_a_rate_nothing_is_counted() {
    let server = Gateway::new().wat("add", ADD).start();
    let reply = server.get("/tasks").await;
    assert_eq!((reply.header("ratelimit"), reply.header("ratelimit-policy")), (None, None));
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[test]
fn bounds_that_are_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = folder.path().to_str().unwrap();
    for (flags, word) in [
        (&["--rate-limit", "often"][..], "\"50/s\""),
        (&["--rate-burst", "5"], "expected both"),
        (&["--rate-limit", "5/s", "--rate-burst", "0"], "whole number"),
        (&["--max-connections", "0"], "--max-connections"),
        (&["--header-timeout", "10"], "--header-timeout"),
        (&["--max-module", "1"], "--max-module"),
    ] {
        let ended = run(&[&["serve", "--tasks", tasks, "--listen", "127.0.0.1:0"], flags].concat(), b"");
        assert!(ended.code == Some(2) && ended.stderr.contains(word), "{}", ended.stderr);
    }
    let help = crate::support::process::ended(unblock().args(["serve", "--help"]), b"").stdout;
    for flag in ["--tokens", "--allow-anonymous", "--tls-cert", "--rate-limit", "--max-connections"] {
        assert!(help.contains(flag), "{flag}");
    }
}
