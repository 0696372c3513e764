//! The clients of a soak: kinds of behaviour, each on plain sockets and threads of its own, until the time is up.
//!
//! A kind says which task is its own, what it does with a connection and what it may see. What that is held
//! against is the ledger's.

use super::folder;
use super::ledger::{Ledger, Saw};
use crate::children::contender::Contender;
use crate::folder::Folder;
use crate::load::connection::{Connection, get, post};
use crate::load::stream;
use anyhow::{Context as _, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How calls of clients that hang up are counted.
#[derive(Clone, Copy)]
pub enum Vanished {
    /// As cancelled, all that were accepted.
    Cancelled,
    /// In any way: a guest that reads from a client who is gone may notice that before the gateway does, and end
    /// its answer well or badly.
    AsTheGuestEnds,
}

/// A kind of client.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The task that nobody else calls; `None` if its requests are no calls, or if the task comes and goes.
    pub task: Option<&'static str>,
    /// See there.
    pub vanished: Vanished,
    /// What it may see.
    pub expected: &'static [Saw],
    /// How many there are.
    clients: usize,
    /// One request.
    act: fn(&mut Client) -> anyhow::Result<Saw>,
}

/// A client.
struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
    random: u64,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest pause between two requests of a client, in µs.
const PAUSE_US: u64 = 10_000;

/// Bytes of a streamed body.
const STREAM_BYTES: u64 = 256 << 10;

const fn kind(
    name: &'static str,
    task: Option<&'static str>,
    clients: usize,
    expected: &'static [Saw],
    act: fn(&mut Client) -> anyhow::Result<Saw>,
) -> Kind {
    Kind { name, task, vanished: Vanished::Cancelled, expected, clients, act }
}

const OK: Saw = Saw::Status(200);

/// All kinds.
pub const KINDS: &[Kind] = &[
    kind("good: a call on a kept connection, while the task is replaced", Some("good"), 4, &[OK], |client| {
        client.ask(&get("/tasks/good/add?a=1&b=2"), Some(b"3"))
    }),
    kind("good: a body that flows through", Some("flowing"), 2, &[OK], |client| {
        let echoed = stream::post(client.address, "/tasks/flowing/echo", STREAM_BYTES)?;
        if echoed.bytes != STREAM_BYTES {
            bail!("{} bytes of {STREAM_BYTES} came back", echoed.bytes);
        }
        Ok(OK)
    }),
    kind("slow: a byte at a time", Some("slow"), 8, &[OK], Client::dribble),
    kind("slow: half a head, then gone", None, 2, &[Saw::HungUp], Client::half_a_head),
    kind("hostile: what is no HTTP", None, 2, &[Saw::Status(400), Saw::Closed], Client::garbage),
    kind("hostile: arguments of a wrong type", Some("picky"), 2, &[Saw::Status(400)], |client| {
        client.ask(&post("/tasks/picky/add", "application/json", br#"{"a": [[[]]], "b": 1e999}"#), None)
    }),
    kind("hostile: a trap", Some("trap"), 2, &[Saw::Status(500)], |client| {
        client.ask(&get("/tasks/trap/run"), None)
    }),
    kind("hostile: endless recursion", Some("deep"), 1, &[Saw::Status(500)], |client| {
        client.ask(&get("/tasks/deep/run"), None)
    }),
    kind("hostile: all memory", Some("hog"), 2, &[Saw::Status(500)], |client| {
        client.ask(&get("/tasks/hog/run"), None)
    }),
    kind("hostile: all CPU, killed by its budget", Some("spin"), 2, &[Saw::Status(504)], |client| {
        client.ask(&get("/tasks/spin/run"), None)
    }),
    kind("hostile: sleeps, killed by its deadline", Some("late"), 4, &[Saw::Status(504)], |client| {
        client.ask(&get("/tasks/late/sleep?seconds=60"), None)
    }),
    kind(
        "too many: 16 clients of 2 slots and 4 seats",
        Some("flood"),
        16,
        &[OK, Saw::Status(503)],
        |client| client.ask(&get("/tasks/flood/sleep?seconds=0.02"), None),
    ),
    kind("vanishing: out of a loop", Some("looping"), 3, &[Saw::HungUp], |client| {
        client.vanish("/tasks/looping/run")
    }),
    kind("vanishing: out of a sleep", Some("nap"), 4, &[Saw::HungUp], |client| {
        client.vanish("/tasks/nap/sleep?seconds=50")
    }),
    kind("vanishing: out of the queue", Some("queued"), 8, &[Saw::HungUp], |client| {
        client.vanish("/tasks/queued/run")
    }),
    Kind {
        vanished: Vanished::AsTheGuestEnds,
        ..kind("vanishing: out of a stream", Some("cut"), 2, &[Saw::HungUp], Client::cut)
    },
    kind("good: a task that comes and goes", None, 1, &[OK, Saw::Status(404), Saw::Status(503)], |client| {
        client.ask(&get("/tasks/fleeting/add?0=1&1=2"), None)
    }),
];

/// Lets all of them loose for `time`, and changes the folder; how many changes were made.
pub fn soak(
    gateway: &Contender,
    folder: &Folder,
    time: Duration,
    ledger: &mut Ledger,
) -> anyhow::Result<u64> {
    let end = Instant::now() + time;
    let (address, tasks) = (gateway.address, folder.tasks());
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| folder::change(&tasks, seed(0), end));
        let mut threads = Vec::new();
        for kind in KINDS {
            for index in 0..kind.clients {
                threads.push(scope.spawn(move || client(kind, address, seed(index as u64 + 1), end)));
            }
        }
        for thread in threads {
            let Ok(booked) = thread.join() else { bail!("a client panicked") };
            ledger.add(booked?);
        }
        let Ok(changes) = changes.join() else { bail!("what changes the folder panicked") };
        changes
    })
}

/// A number that differs from run to run and from client to client.
fn seed(index: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    (now.map_or(1, |since| since.as_micros() as u64) & 0x3fff_ffff)
        ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34
}

fn client(kind: &Kind, address: SocketAddr, random: u64, end: Instant) -> anyhow::Result<Ledger> {
    let mut client = Client { address, connection: None, random: random | 1 };
    let mut ledger = Ledger::default();
    while Instant::now() < end {
        let saw = (kind.act)(&mut client).with_context(|| format!("a client, {}", kind.name))?;
        ledger.book(kind.name, saw);
        client.pause(PAUSE_US);
    }
    Ok(ledger)
}

impl Client {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit.max(1)
    }

    fn pause(&mut self, most_us: u64) {
        std::thread::sleep(Duration::from_micros(self.below(most_us)));
    }

    /// Asks on a kept connection.
    fn ask(&mut self, request: &[u8], expected: Option<&[u8]>) -> anyhow::Result<Saw> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        connection.send(request)?;
        let answer = connection.receive(Instant::now() + PATIENCE)?.context("no answer")?;
        if let Some(body) = expected.filter(|body| *body != answer.body) {
            bail!("{} {:?}, not {body:?}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        self.connection = Some(connection);
        Ok(Saw::Status(answer.status))
    }

    fn dribble(&mut self) -> anyhow::Result<Saw> {
        let mut connection = Connection::open(self.address)?;
        for byte in post("/tasks/slow/add", "application/json", br#"{"a": 1, "b": 2}"#) {
            connection.send(&[byte])?;
            self.pause(2_000);
        }
        let answer = connection.receive(Instant::now() + PATIENCE)?.context("no answer")?;
        Ok(Saw::Status(answer.status))
    }

    fn half_a_head(&mut self) -> anyhow::Result<Saw> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(b"POST /tasks/slow/add HTTP/1.1\r\nHost: lo")?;
        self.pause(500_000);
        Ok(Saw::HungUp)
    }

    fn garbage(&mut self) -> anyhow::Result<Saw> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let noise: Vec<u8> = (0..512).map(|_| self.below(256) as u8).chain(*b"\r\n\r\n").collect();
        // A gateway that has seen enough closes; what is written after that fails, which is its right.
        let _ = stream.write_all(&noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok(status.map_or(Saw::Closed, Saw::Status))
    }

    fn vanish(&mut self, target: &str) -> anyhow::Result<Saw> {
        let mut connection = Connection::open(self.address)?;
        connection.send(&get(target))?;
        self.pause(50_000);
        Ok(Saw::HungUp)
    }

    /// Hangs up in the middle of a body, with the answer half read.
    fn cut(&mut self) -> anyhow::Result<Saw> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "POST /tasks/cut/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {STREAM_BYTES}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&[b'x'; 4096])?;
        let mut some = [0; 64];
        if self.below(2) == 0 && stream.read(&mut some).context("reading some of an answer")? == 0 {
            bail!("the gateway closed the connection");
        }
        self.pause(20_000);
        Ok(Saw::HungUp)
    }
}
