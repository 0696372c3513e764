//! `bench-native` as a child: the samples' work as native code, a command and an answer at a time.
//!
//! Ends with its input. What it computes is said in `bench/native`.

use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process.
pub struct Work {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Work {
    /// Starts it; it is built beside this program.
    pub fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?.with_file_name("bench-native");
        if !program.exists() {
            bail!("bench-native is not built: cargo build --release -p bench-native");
        }
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting bench-native")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("bench-native without pipes");
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Carries a command out: the time it took in µs, and its result.
    pub fn ask(&mut self, command: &str) -> anyhow::Result<(f64, String)> {
        writeln!(self.input, "{command}").context("asking bench-native")?;
        let mut line = String::new();
        self.output.read_line(&mut line).context("reading from bench-native")?;
        let (time, result) = line
            .trim()
            .split_once(' ')
            .with_context(|| format!("bench-native ended or said {line:?} to {command:?}"))?;
        Ok((time.parse().with_context(|| format!("a time {time:?}"))?, result.to_owned()))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
