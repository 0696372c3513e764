//! Bytes on a connection → the edge of a running gateway: an answer in HTTP or an end, never `internal`, never a
//! thread that panics; and the gateway still answers.
//!
//! Each input is one connection, written at once and closed for writing a moment later.

use super::config;
use gateway::app::{self, Server};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const ADD: &str =
    r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#;
const MANIFEST: &str = "[functions.add]\nparams = [\"a\", \"b\"]\n[[route]]\nmethod = \"GET\"\npath = \"/add/{a}/{b}\"\nfunction = \"add\"\n";

/// Longest silence of the gateway: above its own timeouts of incomplete heads.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an answer to a complete request takes, and what an incomplete one costs the fuzzer.
const MOMENT: Duration = Duration::from_millis(20);

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
        let guest =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/guests/{name}.wasm"));
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
    // The descriptions of the gateway name that problem as well, without being one.
    let internal = text.contains("HTTP/1.1 500") && text.contains("\"type\":\"/problems/internal\"");
    assert!(!internal, "{text}");
    assert!(alive(), "no life");
}

/// Whether the gateway still answers somebody else.
fn alive() -> bool {
    let mut stream = TcpStream::connect(GATEWAY.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = Vec::new();
    let asked = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_to_end(&mut answer)).is_ok() && answer.starts_with(b"HTTP/1.1 2")
}

/// Sends, waits a moment for an answer, closes for writing (which the gateway takes for a hang-up), and reads to the end.
fn ask(input: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(GATEWAY.address).expect("a connection");
    // A gateway that has seen enough closes, and what is written then fails: its right.
    let _ = stream.write_all(input);
    let (mut answer, mut some) = (Vec::new(), [0; 4096]);
    stream.set_read_timeout(Some(MOMENT)).expect("a timeout");
    if let Ok(count) = stream.read(&mut some) {
        answer.extend_from_slice(some.get(..count).unwrap_or_default());
    }
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
            panic!("no end within {PATIENCE:?}")
        }
        _ => answer,
    }
}
