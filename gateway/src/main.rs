//! The binary `unblock`: parse, run, exit code.
//!
//! Everything else is in the library, so that tests reach it. This file owns nothing but the
//! process's exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::main()
}
