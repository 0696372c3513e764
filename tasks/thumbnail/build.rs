//! Sizes the memory that the module starts with: a heap that grows costs system calls in every call.
//! Most tasks need no build script; .cargo/config.toml gives them 2 MiB.
#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

/// Room for the file and the pixels of a picture of a few megapixels.
const INITIAL_MEMORY_BYTES: u32 = 16 << 20;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg=--initial-memory={INITIAL_MEMORY_BYTES}");
    }
}
