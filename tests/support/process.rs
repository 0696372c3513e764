//! The built program as a process of its own: started on a free port, asked by signals, looked at
//! by its log.
//!
//! [`Program::serve`] reads the address from the line that tells it. The log is printed if the test
//! panics while the program is still there, and the program is killed by its own id when dropped.

use super::eventually;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

/// The program with nothing of the tester's own settings around it.
pub fn unblock() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unblock"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// How a program ended, and what it wrote.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end with some input; compiled code is kept in memory only.
pub fn run(arguments: &[&str], input: &[u8]) -> Ended {
    ended(unblock().args(arguments).env("UNBLOCK_CACHE", "off"), input)
}

/// Runs a command to its end with some input.
pub fn ended(command: &mut Command, input: &[u8]) -> Ended {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that does not read its input closes it; that is its right.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub resident_kib: u64,
    pub peak_kib: u64,
    pub threads: u64,
    pub descriptors: u64,
}

/// A gateway in a process of its own.
pub struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
    address: String,
}

impl Program {
    /// Serves a folder, on a free port of this machine alone unless `flags` say otherwise, and waits until every
    /// task is loaded or refused. Compiled code is kept in
    /// memory only, unless `flags` name a folder for it.
    pub async fn serve(folder: &Path, flags: &[&str]) -> Self {
        let program = Self::start(folder, flags);
        super::until_within(super::LOADING, "readiness", async || {
            program.status("/readyz").await == Some(200)
        })
        .await;
        program
    }

    /// As [`Program::serve`], without waiting for the tasks.
    pub fn start(folder: &Path, flags: &[&str]) -> Self {
        Self::start_with(unblock(), folder, flags)
    }

    /// As [`Program::start`], with a command that ends in the program.
    pub fn start_with(mut command: Command, folder: &Path, flags: &[&str]) -> Self {
        command.args(["serve", "--tasks"]).arg(folder);
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
            .env("UNBLOCK_CACHE", "off")
            .env("UNBLOCK_MAX_RUNS", "64")
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, into) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = into.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut program = Self { child, log, address: String::new() };
        eventually("the line with the address", || {
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!("it ended with {status}:\n{}", program.log());
            }
            program.address = address(&program.log()).unwrap_or_default();
            !program.address.is_empty()
        });
        program
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The address and port it listens on.
    pub fn socket(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// What the process holds at this moment, as its kernel tells.
    pub fn held(&self) -> Held {
        let of = |what: &str| format!("/proc/{}/{what}", self.child.id());
        let status = std::fs::read_to_string(of("status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Held {
            resident_kib: number("VmRSS:"),
            peak_kib: number("VmHWM:"),
            threads: number("Threads:"),
            descriptors: std::fs::read_dir(of("fd")).unwrap().count() as u64,
        }
    }

    /// From now on [`Held::peak_kib`] counts anew (`proc_pid_clear_refs(5)`).
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The status that a path answers with; `None` if nobody listens any more.
    pub async fn status(&self, path: &str) -> Option<u16> {
        super::client().get(self.url(path)).send().await.ok().map(|response| response.status().as_u16())
    }

    /// The body that a path answers with.
    pub async fn text(&self, path: &str) -> String {
        super::client().get(self.url(path)).send().await.unwrap().text().await.unwrap()
    }

    /// Kibibytes that it holds now. A process of its own is the only one whose memory a test can
    /// judge: in the tests' process others run beside it.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Kibibytes that it held at most.
    pub fn peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends SIGINT.
    pub fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Not reaped yet, so the id is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the program's log:\n{}", self.log());
        }
    }
}

fn address(log: &str) -> Option<String> {
    let start = log.find("listening on http")? + "listening on ".len();
    let rest = &log[start..];
    Some(rest[..rest.find(';')?].to_owned())
}

/// A port that somebody else listens on as long as this is kept.
pub fn taken_port() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Every file below a folder with its content.
pub fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let mut bytes = Vec::new();
            std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}
