//! A program of others that serves HTTP: started, waited for until it says where, killed when dropped.
//!
//! Knows nothing of any program in particular: `foreign.rs` and `peers.rs` say what to start and
//! how to read its address. Whatever a program prints is read to the end, so that it never blocks on
//! a full pipe.

use crate::proc::Process;
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long a program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(20);

/// Lines of a program that did not start which its error repeats: the last is the error itself.
const LINES_TOLD: usize = 1;

/// A running program.
pub struct Program {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Program {
    /// Starts it; `address` finds the address in a line that the program prints, on either stream.
    pub fn start(mut command: Command, address: impl Fn(&str) -> Option<SocketAddr>) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (sender, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // From here on the child is killed, whatever happens.
        let mut program = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        read_all(stdout, sender.clone());
        read_all(stderr, sender);
        let deadline = Instant::now() + START_MAX;
        let mut said: Vec<String> = Vec::new();
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match address(&line) {
                    Some(found) => {
                        program.address = found;
                        return Ok(program);
                    }
                    None => said.push(line),
                },
                Err(RecvTimeoutError::Timeout) => bail!("it did not start within {START_MAX:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let last = said.split_off(said.len().saturating_sub(LINES_TOLD)).join(" ");
                    bail!("it did not start; the last it said: {last}");
                }
            }
        }
    }

    /// The process, to be watched.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

/// Sends what comes until the stream ends, also when nobody listens any more.
fn read_all(stream: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // The receiver goes once the program listens.
            let _ = sender.send(line);
        }
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
