//! Grants: nothing by default, and then exactly what the manifest says.
//!
//! The guest `probe` tries: its environment, files in and out of its directories, things that only
//! look like files, second names, directories that move under way, sockets, datagrams and look-ups.

use crate::support::upstream::lines;
use crate::support::{Gateway, Reply, Server, guest, until};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn probe(grants: &str) -> Gateway {
    let manifest = format!("[limits]\nwall = \"10s\"\n[grants]\n{grants}\n");
    Gateway::new().file("probe.wasm", guest("probe")).manifest("probe", &manifest)
}

/// A directory with a file, things beside it, and grants for it: `/data` to read, `/out` to change.
struct Scene {
    root: tempfile::TempDir,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["data", "data/sub", "out"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        for (file, text) in [("secret", "secret"), ("data/a.txt", "text of a"), ("out/old.txt", "old")] {
            std::fs::write(root.path().join(file), text).unwrap();
        }
        Self { server: probe(&dirs(root.path())).start(), root }
    }

    /// A manifest that grants them, behind `before`.
    fn grants(&self, before: &str) -> String {
        format!("{before}[grants]\n{}\n", dirs(self.root.path()))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    async fn call(&self, function: &str, arguments: Value) -> Reply {
        call(&self.server, function, arguments).await
    }
}

fn dirs(root: &Path) -> String {
    let (data, out) = (root.join("data"), root.join("out"));
    format!(
        "dirs = [{{ host = {data:?}, guest = \"/data\" }}, {{ host = {out:?}, guest = \"/out\", write = true }}]"
    )
}

async fn call(server: &Server, function: &str, arguments: Value) -> Reply {
    server.post(&format!("/tasks/probe/{function}"), &arguments.to_string()).await
}

/// What the guest was told, and the hints beside it.
#[track_caller]
fn refused(reply: &Reply) -> (String, String) {
    let problem = reply.problem(422, "task-error");
    let hints: Vec<&str> =
        problem["hints"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    (problem["detail"].as_str().unwrap().to_owned(), hints.join("\n"))
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let server = probe("").start();
    assert_eq!(call(&server, "variables", json!({})).await.json(), json!([]));
    let (_, hints) = refused(&call(&server, "read", json!({ "path": "/etc/passwd" })).await);
    assert!(hints.contains("add { host = \"data\", guest = \"/data\" } to dirs under [grants]"), "{hints}");
    let (code, hints) =
        refused(&call(&server, "talk", json!({ "address": "127.0.0.1:9", "line": "x" })).await);
    assert!(code.contains("access-denied") && hints.contains("to sockets under [grants]"), "{code}: {hints}");
    let (code, hints) = refused(&call(&server, "lookup", json!({ "name": "db.example.com" })).await);
    assert!(code.contains("access-denied") && hints.contains("\"db.example.com:PORT\""), "{code}: {hints}");
    let shown = server.get("/tasks/probe").await.json();
    assert_eq!(shown["grants"], json!({ "env": [], "dirs": [], "http": [], "sockets": [] }));
}

#[tokio::test]
async fn the_environment_is_what_is_granted_and_its_values_are_not_shown() {
    let server = probe("env = { COLOUR = \"s3cret-blue\", EMPTY = \"\" }\nenv_from = [\"FROM_GATEWAY\"]")
        .set(|config| {
            config.registry.variable = |name| (name == "FROM_GATEWAY").then(|| "s3cret-own".to_owned())
        })
        .start();
    let seen = call(&server, "variables", json!({})).await.json();
    assert_eq!(seen, json!([["COLOUR", "s3cret-blue"], ["EMPTY", ""], ["FROM_GATEWAY", "s3cret-own"]]));
    let shown = server.get("/tasks/probe").await;
    assert_eq!(shown.json()["grants"]["env"], json!(["COLOUR", "EMPTY", "FROM_GATEWAY"]));
    assert!(!shown.text().contains("s3cret") && !server.get("/tasks").await.text().contains("s3cret"));
    // The manifest changes: the next calls see it, and nothing is loaded anew but the settings.
    let before = server.get("/tasks/probe").await.json()["digest"].clone();
    std::fs::write(server.folder().join("probe.toml"), "[grants]\nenv = { COLOUR = \"green\" }\n").unwrap();
    until("the changed manifest applies", async || {
        call(&server, "variables", json!({})).await.json() == json!([["COLOUR", "green"]])
    })
    .await;
    assert_eq!(server.get("/tasks/probe").await.json()["digest"], before);
}

#[tokio::test]
async fn directories_are_read_and_changed_as_granted() {
    let scene = Scene::new();
    assert_eq!(scene.call("read", json!({ "path": "/data/a.txt" })).await.ok(), "text of a");
    assert_eq!(scene.call("entries", json!({ "path": "/data" })).await.json(), json!(["a.txt", "sub"]));
    scene.call("write", json!({ "path": "/out/new.txt", "text": "new" })).await.ok();
    assert_eq!(std::fs::read_to_string(scene.path("out/new.txt")).unwrap(), "new");
    scene.call("write", json!({ "path": "/out/old.txt", "text": "n" })).await.ok();
    assert_eq!(std::fs::read_to_string(scene.path("out/old.txt")).unwrap(), "n", "what was longer is cut");
    for path in ["/data/new.txt", "/data/a.txt"] {
        let (_, hints) = refused(&scene.call("write", json!({ "path": path, "text": "x" })).await);
        assert!(hints.contains("write = true"), "{hints}");
    }
    assert_eq!(std::fs::read_to_string(scene.path("data/a.txt")).unwrap(), "text of a");
    assert!(!scene.path("data/new.txt").exists());
    let shown = scene.server.get("/tasks/probe").await;
    let dirs = json!([{ "guest": "/data", "write": false }, { "guest": "/out", "write": true }]);
    assert_eq!(shown.json()["grants"]["dirs"], dirs);
    assert!(!shown.text().contains(scene.root.path().to_str().unwrap()), "the machine's paths are its own");
}

#[tokio::test]
async fn no_path_leads_out_of_a_directory() {
    let scene = Scene::new();
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, scene.path(name)).unwrap();
    link(Path::new("../secret"), "data/relative");
    link(&scene.path("secret"), "data/absolute");
    link(Path::new(".."), "data/up");
    link(Path::new("/"), "data/root");
    link(Path::new("/proc/self/root"), "data/magic");
    link(Path::new("sub/../a.txt"), "data/inside");
    for path in [
        "/data/../secret",
        "/data/sub/../../secret",
        "/data/relative",
        "/data/absolute",
        "/data/up/secret",
        "/data/root/etc/passwd",
        "/data/magic/etc/passwd",
        "/secret",
        "/etc/passwd",
        "secret",
    ] {
        let reply = scene.call("read", json!({ "path": path })).await;
        assert_eq!(reply.status, 422, "{path}: {}", reply.text());
    }
    assert_eq!(scene.call("read", json!({ "path": "/data/inside" })).await.ok(), "text of a");
    // A guest that makes the link itself gets no further.
    scene.call("link", json!({ "target": "../secret", "path": "/out/way" })).await.ok();
    let reply = scene.call("read", json!({ "path": "/out/way" })).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    let reply = scene.call("write", json!({ "path": "/out/way", "text": "overwritten" })).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    let reply = scene.call("link", json!({ "target": "/etc/passwd", "path": "/out/far" })).await;
    assert!(reply.status == 422 || scene.call("read", json!({ "path": "/out/far" })).await.status == 422);
    assert_eq!(std::fs::read_to_string(scene.path("secret")).unwrap(), "secret");
}

#[tokio::test]
async fn what_could_block_for_ever_is_not_opened() {
    let scene = Scene::new();
    for name in ["data/fifo", "out/fifo"] {
        let made = std::process::Command::new("mkfifo").arg(scene.path(name)).status().unwrap();
        assert!(made.success());
    }
    std::os::unix::fs::symlink("fifo", scene.path("out/link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("out/socket")).unwrap();
    let begin = Instant::now();
    for (function, arguments) in [
        ("read", json!({ "path": "/data/fifo" })),
        ("read", json!({ "path": "/out/link" })),
        ("read", json!({ "path": "/out/socket" })),
        ("write", json!({ "path": "/out/fifo", "text": "x" })),
        ("write", json!({ "path": "/out/link", "text": "x" })),
    ] {
        let (_, hints) = refused(&scene.call(function, arguments.clone()).await);
        assert!(hints.contains("neither a file nor a directory"), "{arguments}: {hints}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // A thread that waits in open(2) for a writer counts as a reader: then this would succeed.
    for name in ["data/fifo", "out/fifo"] {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK.bits().try_into().unwrap();
        let end = std::fs::OpenOptions::new().write(true).custom_flags(flags).open(scene.path(name));
        let error = end.expect_err("no thread holds the other end");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()), "{error}");
    }
}

/// Preview 1 programs have files by another implementation of the same rules.
#[tokio::test]
async fn a_program_of_preview_1_has_its_directories_and_no_more() {
    let scene = Scene::new();
    let manifest = scene.grants("[limits]\nwall = \"10s\"\n");
    let server = Gateway::new()
        .file("program.wasm", guest("command-preview1"))
        .manifest("program", &manifest)
        .file("bare.wasm", guest("command-preview1"))
        .start();
    let call = async |arguments: &[&str]| {
        let url =
            url::Url::parse_with_params(&server.url("/tasks/program/"), arguments.iter().map(|a| ("arg", a)));
        server.send(crate::support::client().get(url.unwrap().as_str())).await
    };
    assert_eq!(call(&["read", "/data/a.txt"]).await.ok(), "text of a");
    assert_eq!(call(&["list", "/data"]).await.ok(), "a.txt\nsub\n");
    assert_eq!(call(&["write", "/out/new.txt", "by a guest"]).await.ok(), "written\n");
    assert_eq!(std::fs::read_to_string(scene.path("out/new.txt")).unwrap(), "by a guest");
    let hints = |reply: &Reply| {
        let problem = reply.problem(422, "task-error");
        assert_eq!(problem["value"], json!({ "exit_code": 74 }), "{problem:#}");
        problem["hints"].to_string()
    };
    assert!(hints(&call(&["write", "/data/a.txt", "x"]).await).contains("write = true"));
    std::os::unix::fs::symlink("../secret", scene.path("out/way")).unwrap();
    for path in ["/data/../secret", "/out/way", "/secret", "secret"] {
        let reply = call(&["read", path]).await;
        assert_eq!(reply.status, 422, "{path}: {}", reply.text());
    }
    let made = std::process::Command::new("mkfifo").arg(scene.path("out/fifo")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("out/socket")).unwrap();
    let begin = Instant::now();
    for arguments in [&["read", "/out/fifo"][..], &["write", "/out/fifo", "x"], &["read", "/out/socket"]] {
        let hints = hints(&call(arguments).await);
        assert!(hints.contains("neither a file nor a directory"), "{arguments:?}: {hints}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // Without a grant, and with one that is gone.
    let reply = server.get("/tasks/bare/read?arg=/data/a.txt").await;
    assert!(hints(&reply).contains("to dirs under [grants]"), "{}", reply.text());
    std::fs::rename(scene.path("out"), scene.path("gone")).unwrap();
    let problem = call(&["read", "/data/a.txt"]).await.problem(500, "missing-grant");
    assert!(problem["detail"].as_str().unwrap().contains("granted as \"/out\""), "{problem:#}");
}

#[tokio::test]
async fn a_run_holds_a_bounded_number_of_files() {
    let scene = Scene::new();
    let server = Gateway::new()
        .file("program.wasm", guest("command-preview1"))
        .manifest("program", &scene.grants(""))
        .start();
    let reply = server.get("/tasks/program/hoard?arg=/data/a.txt&arg=1000").await;
    assert_eq!(reply.ok(), "256\n");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_at_load_and_in_a_call() {
    let scene = Scene::new();
    let server =
        probe("dirs = [{ host = \"nowhere\", guest = \"/data\" }]\nenv_from = [\"NOT_SET\"]").start();
    let listed = server.get("/tasks").await.json();
    let reason = listed["failures"][0]["reason"].as_str().unwrap();
    for part in ["probe.toml does not fit this machine", "nowhere cannot be used", "no variable NOT_SET"] {
        assert!(reason.contains(part), "{reason}");
    }
    std::fs::rename(scene.path("out"), scene.path("gone")).unwrap();
    let problem = scene.call("read", json!({ "path": "/data/a.txt" })).await.problem(500, "missing-grant");
    assert!(
        problem["detail"].as_str().unwrap().contains("granted as \"/out\" cannot be opened"),
        "{problem:#}"
    );
    std::fs::rename(scene.path("gone"), scene.path("out")).unwrap();
    scene.call("read", json!({ "path": "/data/a.txt" })).await.ok();
}

#[tokio::test]
async fn relative_directories_start_in_the_tasks_folder() {
    let gateway = probe("dirs = [{ host = \"files\", guest = \"/files\" }]");
    let server = gateway.folder("files").start();
    std::fs::write(server.folder().join("files/b.txt"), "text of b").unwrap();
    assert_eq!(call(&server, "read", json!({ "path": "/files/b.txt" })).await.ok(), "text of b");
}

#[tokio::test]
async fn sockets_go_where_they_are_granted() {
    let (peer, other) = (lines(), lines());
    let server = probe(&format!("sockets = [\"{peer}\", \"localhost:{}\"]", other.port())).start();
    let talk =
        async |address: String| call(&server, "talk", json!({ "address": address, "line": "hello" })).await;
    assert_eq!(talk(peer.to_string()).await.ok(), "HELLO");
    let (code, hints) = refused(&talk(other.to_string()).await);
    assert!(code.contains("access-denied"), "{code}");
    assert!(hints.contains(&format!("add \"{other}\" to sockets")), "{hints}");
    // A granted name that leads to this machine.
    let (code, hints) = refused(&call(&server, "lookup", json!({ "name": "localhost" })).await);
    assert!(code.contains("access-denied") && hints.contains("must be granted by itself"), "{code}: {hints}");
    let (code, hints) = refused(&call(&server, "lookup", json!({ "name": "example.com" })).await);
    assert!(code.contains("access-denied") && hints.contains("\"example.com:PORT\""), "{code}: {hints}");
    assert_eq!(call(&server, "lookup", json!({ "name": "127.0.0.1" })).await.json(), json!(["127.0.0.1"]));
    let (code, hints) = refused(&call(&server, "listen", json!({ "port": 0 })).await);
    assert!(code.contains("access-denied") && hints.contains("which no task may"), "{code}: {hints}");
    // The name's address granted as well: it may be looked up and used.
    let server = probe(&format!("sockets = [\"localhost:{0}\", \"127.0.0.1:{0}\"]", other.port())).start();
    let found = call(&server, "lookup", json!({ "name": "LOCALHOST." })).await.json();
    assert_eq!(found, json!(["127.0.0.1"]));
}

/// Renames `out/a/b` to `out/b` and back until it is dropped: `..` twice leads out of `out` from one of them.
struct Renaming(Arc<AtomicBool>, Option<std::thread::JoinHandle<u64>>);

impl Renaming {
    fn start(out: &Path) -> Self {
        std::fs::create_dir_all(out.join("a/b")).unwrap();
        let (deep, flat) = (out.join("a/b"), out.join("b"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut renamed = 0;
            while !stopped.load(Ordering::Relaxed) {
                std::fs::rename(&deep, &flat).unwrap();
                std::fs::rename(&flat, &deep).unwrap();
                renamed += 1;
            }
            renamed
        });
        Self(stop, Some(thread))
    }

    fn stop(mut self) -> u64 {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().unwrap().join().unwrap()
    }
}

#[tokio::test]
async fn a_directory_that_is_renamed_under_way_leads_nowhere() {
    let scene = Scene::new();
    let program = Gateway::new()
        .file("program.wasm", guest("command-preview1"))
        .manifest("program", &scene.grants("[limits]\nwall = \"20s\"\n"))
        .start();
    let renaming = Renaming::start(&scene.path("out"));
    for _ in 0..4 {
        let path = "/out/a/b/../../secret";
        let reply = scene.call("snatch", json!({ "path": path, "tries": 2_000 })).await;
        assert_eq!(reply.json(), Value::Null, "{}", reply.text());
        let reply = program.get(&format!("/tasks/program/snatch?arg={path}&arg=2000")).await;
        assert_eq!(reply.ok(), "nothing\n");
    }
    // What stays inside may be found.
    let reply = scene.call("snatch", json!({ "path": "/out/a/../old.txt", "tries": 2_000 })).await;
    assert_eq!(reply.json(), json!("old"));
    let renamed = renaming.stop();
    assert!(renamed > 100, "nothing went on under way: {renamed}");
}

#[tokio::test]
async fn no_second_name_leads_past_a_grant() {
    let scene = Scene::new();
    let denied = async |function: &str, from: &str, to: &str| {
        let reply = scene.call(function, json!({ "from": from, "to": to })).await;
        assert_eq!(reply.status, 422, "{function} {from} {to}: {}", reply.text());
    };
    for function in ["hard-link", "rename"] {
        // From a directory that may only be read, into it, out of both, and through a link.
        denied(function, "/data/a.txt", "/out/mine.txt").await;
        denied(function, "/data/a.txt", "/data/b.txt").await;
        denied(function, "/out/old.txt", "/data/old.txt").await;
        denied(function, "/out/old.txt", "/out/../gone.txt").await;
        denied(function, "/out/../secret", "/out/secret").await;
        denied(function, "/secret", "/out/secret").await;
        denied(function, "/etc/passwd", "/out/passwd").await;
    }
    std::os::unix::fs::symlink("..", scene.path("out/up")).unwrap();
    denied("hard-link", "/out/up/secret", "/out/secret").await;
    denied("rename", "/out/up/secret", "/out/secret").await;
    denied("rename", "/out/old.txt", "/out/up/gone.txt").await;
    assert!(scene.path("out/old.txt").exists() && scene.path("data/a.txt").exists());
    assert!(scene.path("secret").exists() && !scene.path("gone.txt").exists());
    // Inside of what it may change it goes.
    scene.call("rename", json!({ "from": "/out/old.txt", "to": "/out/new.txt" })).await.ok();
    assert_eq!(std::fs::read_to_string(scene.path("out/new.txt")).unwrap(), "old");
}

/// Each spelling of an address that was not granted: loopback and the metadata services of clouds, as such,
/// mapped into IPv6, and as what a socket takes for this machine.
#[tokio::test]
async fn an_address_is_what_it_leads_to_however_it_is_spelled() {
    let (peer, other) = (lines(), lines());
    let grants =
        format!("sockets = [\"{peer}\", \"*.example.com:{}\", \"*:{}\"]", other.port(), other.port());
    let server = probe(&grants).start();
    let port = other.port();
    for address in [
        format!("127.0.0.1:{port}"),
        format!("127.0.0.2:{}", peer.port()),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port}"),
        format!("[::]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::127.0.0.1]:{port}"),
        format!("[64:ff9b::7f00:1]:{port}"),
        format!("169.254.169.254:{port}"),
        format!("[::ffff:169.254.169.254]:{port}"),
        format!("[fd00:ec2::254]:{port}"),
        format!("[fe80::1]:{port}"),
        format!("10.0.0.1:{port}"),
        format!("224.0.0.1:{port}"),
        format!("255.255.255.255:{port}"),
    ] {
        let begin = Instant::now();
        for (function, arguments) in [
            ("talk", json!({ "address": address, "line": "x" })),
            ("send", json!({ "address": address, "text": "x", "port": 0 })),
        ] {
            let (code, _) = refused(&call(&server, function, arguments).await);
            let known = [
                "access-denied",
                "invalid-argument",
                "remote-unreachable",
                "not-supported",
                "address-not-bindable",
            ];
            assert!(known.iter().any(|known| code.contains(known)), "{function} {address}: {code}");
        }
        // Refused before anything is sent: nothing is waited for.
        assert!(begin.elapsed() < Duration::from_secs(5), "{address}: {:?}", begin.elapsed());
    }
    // A name that leads here; a dot or capitals do not make it another.
    for name in ["localhost", "LOCALHOST."] {
        let (code, _) = refused(&call(&server, "lookup", json!({ "name": name })).await);
        assert!(code.contains("access-denied"), "{name}: {code}");
    }
    // What is granted goes.
    assert_eq!(call(&server, "talk", json!({ "address": peer, "line": "hi" })).await.ok(), "HI");
}

#[tokio::test]
async fn datagrams_go_where_they_are_granted() {
    let (peer, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for socket in [&peer, &other] {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    let (to, elsewhere) = (peer.local_addr().unwrap(), other.local_addr().unwrap());
    let server = probe(&format!("sockets = [\"{to}\"]")).start();
    let send = async |server: &Server, to: std::net::SocketAddr, port: u16| {
        call(server, "send", json!({ "address": to, "text": "hello", "port": port })).await
    };
    send(&server, to, 0).await.ok();
    let mut text = [0; 16];
    let (length, _) = peer.recv_from(&mut text).unwrap();
    assert_eq!(&text[..length], b"hello");
    let (code, hints) = refused(&send(&server, elsewhere, 0).await);
    assert!(code.contains("access-denied") && hints.contains(&elsewhere.to_string()), "{code}: {hints}");
    // A port of one's own is for a server.
    let (code, hints) = refused(&send(&server, to, 45_454).await);
    assert!(code.contains("access-denied") && hints.contains("which no task may"), "{code}: {hints}");
    let bare = probe("").start();
    let (code, _) = refused(&send(&bare, to, 0).await);
    assert!(code.contains("access-denied"), "{code}");
    other.set_nonblocking(true).unwrap();
    assert!(other.recv_from(&mut text).is_err(), "a datagram went where none may go");
}
