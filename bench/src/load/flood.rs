//! An open loop on thousands of connections: requests have appointed times whether or not earlier ones
//! are answered.
//!
//! For what `open.rs` cannot do, whose one connection waits for each answer. One thread with readiness events, since
//! the generator shares the cores with who is measured: a request costs it a write and a read. Latency counts
//! from a request's time.

use super::connection::{get, parse};
use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections: far above what a task lets in, 256 runs and 1,024 that wait by default.
const CONNECTIONS: usize = 4_000;

/// How long after the last request its answers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest latency that is told apart, in µs.
const LONGEST_US: u64 = 60_000_000;

const READ_BYTES: usize = 4096;
const EVENTS: usize = 1024;

/// What to send.
pub struct Plan {
    /// Whom to ask.
    pub address: SocketAddr,
    /// What for.
    pub target: String,
    /// Requests a second.
    pub rate: f64,
    /// For how long.
    pub time: Duration,
}

/// What was seen.
pub struct Flood {
    /// Requests sent.
    pub sent: u64,
    /// Answers of status 200 that came before the time was up.
    pub in_time: u64,
    /// All answers of status 200.
    pub finished: u64,
    /// Answers of status 503.
    pub refused: u64,
    /// Those of them that do not say when to try again.
    pub without_retry: u64,
    /// Requests that found no free connection in time, so that they were never sent.
    pub unsent: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Latencies of the finished ones, in µs.
    pub accepted: Histogram<u64>,
    /// Latencies of the refusals, in µs.
    pub refusals: Histogram<u64>,
}

struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// When the request under way was due.
    due: Option<Instant>,
}

/// Carries a plan out.
pub struct Generator {
    poll: Poll,
    events: Events,
    lines: Vec<Line>,
    idle: Vec<usize>,
    request: Vec<u8>,
    rate: f64,
    count: u64,
    time: Duration,
    end: Instant,
    seen: Flood,
}

impl Generator {
    /// Opens the connections: made in a burst later, they would overflow the listener's backlog, and wait for a second.
    pub fn new(plan: &Plan) -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_max(LONGEST_US, 3);
        let seen = Flood {
            sent: 0,
            in_time: 0,
            finished: 0,
            refused: 0,
            without_retry: 0,
            unsent: 0,
            unanswered: 0,
            accepted: histogram()?,
            refusals: histogram()?,
        };
        let poll = Poll::new().context("asking for readiness events")?;
        let mut lines = Vec::with_capacity(CONNECTIONS);
        for index in 0..CONNECTIONS {
            let stream = std::net::TcpStream::connect(plan.address).context("connecting to a contender")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            lines.push(Line { stream, buffer: Vec::new(), due: None });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            lines,
            idle: (0..CONNECTIONS).collect(),
            request: get(&plan.target),
            rate: plan.rate,
            count: (plan.time.as_secs_f64() * plan.rate) as u64,
            time: plan.time,
            end: Instant::now() + plan.time,
            seen,
        })
    }

    /// Sends all requests, and reads what is answered meanwhile.
    pub fn send_all(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        self.end = start + self.time;
        let rate = self.rate;
        let due = |index: u64| start + Duration::from_secs_f64(index as f64 / rate);
        let mut next = 0;
        while next < self.count {
            let now = Instant::now();
            while next < self.count && due(next) <= now {
                self.send(due(next))?;
                next += 1;
            }
            self.receive(due(next).saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Waits for the last answers.
    pub fn end(mut self) -> anyhow::Result<Flood> {
        let deadline = self.end + PATIENCE;
        while self.idle.len() < self.lines.len() && Instant::now() < deadline {
            self.receive(Duration::from_millis(50))?;
        }
        self.seen.unanswered = (self.lines.len() - self.idle.len()) as u64;
        Ok(self.seen)
    }

    fn send(&mut self, due: Instant) -> anyhow::Result<()> {
        let Some(index) = self.idle.pop() else {
            self.seen.unsent += 1;
            return Ok(());
        };
        let Some(line) = self.lines.get_mut(index) else { bail!("no connection {index}") };
        // A request of a hundred bytes on a connection without another under way fits into the socket's buffer.
        line.stream.write_all(&self.request).context("sending a request")?;
        line.due = Some(due);
        self.seen.sent += 1;
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(error).context("waiting");
            }
            _ => {}
        }
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for index in ready {
            self.read(index)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(line) = self.lines.get_mut(index) else { return Ok(()) };
        let mut bytes = [0; READ_BYTES];
        loop {
            match line.stream.read(&mut bytes) {
                Ok(0) => bail!("the contender closed the connection"),
                Ok(count) => line.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("reading an answer"),
            }
        }
        let Some((answer, length)) = parse(&line.buffer)? else { return Ok(()) };
        line.buffer.drain(..length);
        let Some(due) = line.due.take() else { bail!("an answer without a request") };
        self.idle.push(index);
        let now = Instant::now();
        let micros = (now.saturating_duration_since(due).as_micros() as u64).clamp(1, LONGEST_US);
        let seen = &mut self.seen;
        match answer.status {
            200 => {
                seen.finished += 1;
                seen.in_time += u64::from(now <= self.end);
                seen.accepted.record(micros)?;
            }
            503 => {
                seen.refused += 1;
                seen.without_retry += u64::from(answer.retry_after.is_none());
                seen.refusals.record(micros)?;
            }
            status => bail!("{status}: {:?}", String::from_utf8_lossy(&answer.body)),
        }
        Ok(())
    }
}
