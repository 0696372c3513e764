//! The binary `unblock`: parse, run, exit code. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    unblock::cli::main()
}
