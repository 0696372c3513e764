//! `wasmtime serve` as a contender: a program of others, found or reported as missing.
//!
//! Its settings stand here, as flags that the table repeats. It serves one module; it is not asked
//! anything but over HTTP, and killed when dropped.

use crate::proc::Process;
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The release line of the engine that the gateway is built on.
const RELEASE: &str = "wasmtime 48.";

/// Lines that a start may print before it says where it listens.
const LINES_MAX: usize = 20;

/// Its three settings: what it does by itself, what one sets for throughput, and that with resets
/// that look at touched pages alone (Linux 6.7).
pub const SETTINGS: [(&str, &[&str]); 3] = [
    ("default", &[]),
    (
        "tuned",
        &[
            "-Opooling-allocator=y",
            "-Opooling-memory-keep-resident=65536",
            "-Opooling-table-keep-resident=65536",
        ],
    ),
    (
        "tuned + pagemap_scan",
        &[
            "-Opooling-allocator=y",
            "-Opooling-memory-keep-resident=65536",
            "-Opooling-table-keep-resident=65536",
            "-Opooling-pagemap-scan=y",
        ],
    ),
];

/// The program, and what it says of its version.
pub fn find() -> anyhow::Result<(PathBuf, String)> {
    let brought = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-tools/wasmtime");
    for program in [brought, PathBuf::from("wasmtime")] {
        let Ok(output) = Command::new(&program).arg("--version").output() else { continue };
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if version.starts_with(RELEASE) {
            return Ok((program, version));
        }
    }
    bail!("{RELEASE}x is neither in target/bench-tools (bench/build.sh brings it) nor in the PATH")
}

/// A running `wasmtime serve`.
pub struct Serve {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Serve {
    /// Serves a module with flags.
    pub fn start(program: &Path, flags: &[&str], module: &Path) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .args(["serve", "-Scli", "--addr", "127.0.0.1:0"])
            .args(flags)
            .arg(module)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting wasmtime serve")?;
        let mut serve = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let stderr = serve.child.stderr.take().context("wasmtime serve without a pipe")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = Vec::new();
        for line in lines.by_ref().take(LINES_MAX) {
            let line = line.context("reading from wasmtime serve")?;
            if let Some((_, rest)) = line.split_once("http://") {
                serve.address = rest.trim_end_matches('/').parse().context("an address of wasmtime serve")?;
                // Nobody may be left with a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(serve);
            }
            said.push(line);
        }
        bail!("wasmtime serve did not start: {}", said.join(" "))
    }

    /// The process, to be watched.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
