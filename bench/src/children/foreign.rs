//! `wasmtime serve` as a contender: a program of others, found or reported as missing.
//!
//! Its settings stand here, as flags that the table repeats. It serves one module; how a program is
//! started and ended is `program.rs`'s.

use super::program::Program;
use anyhow::bail;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release line of the engine that the gateway is built on.
const RELEASE: &str = "wasmtime 48.";

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

/// Serves a module with flags.
pub fn start(program: &Path, flags: &[&str], module: &Path) -> anyhow::Result<Program> {
    let mut command = Command::new(program);
    command.args(["serve", "-Scli", "--addr", "127.0.0.1:0"]).args(flags).arg(module);
    Program::start(command, |line| {
        let (_, rest) = line.split_once("http://")?;
        rest.trim_end_matches('/').parse().ok()
    })
}
