//! Bytes on a connection → the edge of a running gateway: an answer in HTTP or an end, never `internal`, never a
//! thread that panics; and the gateway still answers.
//!
//! Each input is one connection, written at once and then closed for writing.

use super::config;
use gateway::app::{self, Server};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;
const MANIFEST: &str = "[functions.add]\nparams = [\"a\", \"b\"]\n[[route]]\nmethod = \"GET\"\npath = \"/add/{a}/{b}\"\nfunction = \"add\"\n";

/// Longest silence of the gateway: above its own timeouts of incomplete heads.
const PATIENCE: Duration = Duration::from_secs(20);

struct Gateway {
    address: SocketAddr,
    _server: Server,
    _folder: tempfile::TempDir,
}

static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).expect("a task");
    put("add.wat", ADD.as_bytes());
    put("add.toml", MANIFEST.as_bytes());
    for name in ["http-p2", "flow", "command"] {
        let guest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/guests/{name}.wasm"));
        if let Ok(module) = std::fs::read(guest) {
            put(&format!("{name}.wasm"), &module);
        }
    }
    let server = app::start(&config(folder.path()), None).expect("a gateway");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !server.registry().ready() {
        assert!(Instant::now() < deadline, "the tasks do not load");
        std::thread::sleep(Duration::from_millis(5));
    }
    Gateway { address: server.address(), _server: server, _folder: folder }
});

pub(super) fn feed(input: &[u8]) {
    let answer = ask(input);
    let text = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "no HTTP: {text}");
    assert!(!text.contains("/problems/internal"), "{text}");
    let alive = ask(b"GET /livez HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n");
    assert!(alive.starts_with(b"HTTP/1.1 2"), "no life: {}", String::from_utf8_lossy(&alive));
}

fn ask(input: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(GATEWAY.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // A gateway that has seen enough closes, and what is written then fails: its right.
    let _ = stream.write_all(input).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => panic!("no end within {PATIENCE:?}"),
        _ => answer,
    }
}
