//! Callers that don't wait: connections with a request sent and the answer left alone.
//!
//! A [`Caller`] is one plain socket; dropped, it hangs up, exactly then and without a client
//! library in between. A [`Crowd`] is many of them, calling an endless function to saturate the
//! workers. One crowd at a time in the whole test process: two would measure each other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use super::{Server, eventually};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Endless loops of several sorts, and a function that is done at once.
pub const LOOPS: &str = include_str!("../guests/loops.wat");

/// Lets a thousand loops in, and lets them spin for as long as the test lasts.
pub const LOOPS_MANIFEST: &str =
    "[limits]\nwall = \"10m\"\ncpu = \"5m\"\nconcurrency = 5000\nqueue = 5000\nqueue_wait = \"1m\"\n";

/// Longest wait for an answer on a plain socket.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

static LOAD: Mutex<()> = Mutex::new(());

/// One request on a connection of its own. Dropped, it hangs up.
pub struct Caller(TcpStream);

impl Caller {
    /// Sends `GET path` and does not wait.
    pub fn get(server: &Server, path: &str) -> Self {
        let mut stream = TcpStream::connect(server.app().address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())
            .unwrap();
        Self(stream)
    }

    /// The whole answer, header and body, as text.
    pub fn answer(mut self) -> String {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Endless calls. Dropped, all of them hang up.
pub struct Crowd {
    callers: Vec<Caller>,
    _alone: Alone,
}

/// The right to load the machine, until it is dropped.
pub struct Alone {
    _guard: MutexGuard<'static, ()>,
}

impl Crowd {
    /// Waits until this test may load the machine; for tests that make their own crowd.
    pub fn alone() -> Alone {
        Alone { _guard: LOAD.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Calls `path` that many times, and waits until all of them have used up their first quanta
    /// and stand on the lowest level.
    pub fn sunk(server: &Server, path: &str, count: usize) -> Self {
        let alone = Self::alone();
        let callers = (0..count).map(|_| Caller::get(server, path)).collect();
        eventually("the loops have sunk", || {
            let stats = server.pool();
            let lowest = stats.queued.last().copied().unwrap_or(0);
            stats.permits >= count && lowest + stats.running >= count
        });
        Self { callers, _alone: alone }
    }

    /// Takes one of the callers out.
    pub fn pop(&mut self) -> Caller {
        self.callers.pop().unwrap()
    }
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Milliseconds that an answer's `Server-Timing` gives for `entry`.
pub fn timing(header: &str, entry: &str) -> f64 {
    let start = header.find(&format!("{entry};dur=")).unwrap_or_else(|| panic!("no {entry} in {header:?}"));
    let rest = &header[start + entry.len() + ";dur=".len()..];
    let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap()
}
