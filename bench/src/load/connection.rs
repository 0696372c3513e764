//! One keep-alive HTTP/1.1 connection over a plain blocking socket.
//!
//! As little as can be between the clock and the kernel. Understands answers with a
//! `Content-Length`, which all contenders send, and nothing else.

use anyhow::{Context as _, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of an answer that are read at a time.
const READ_BYTES: usize = 4096;

/// Longest answer: the calls measured here return a few bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How often a wait for an answer looks at its deadline.
const LOOK: Duration = Duration::from_millis(500);

/// How long a single question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// When to try again, in seconds, if it says so.
    pub retry_after: Option<u32>,
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    patient: bool,
    /// When the first byte of the last answer had come.
    pub first_byte: Instant,
}

/// The bytes of a request.
pub fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The bytes of a request with a body.
pub fn post(target: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("connecting to a contender")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(READ_BYTES),
            patient: false,
            first_byte: Instant::now(),
        })
    }

    /// Sends a request made with [`get`].
    pub fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).context("sending a request")
    }

    /// The next answer; `None` if it has not come by `deadline`.
    pub fn receive(&mut self, deadline: Instant) -> anyhow::Result<Option<Answer>> {
        // Set once, since it is a system call: a wait is at most this much too long.
        if !self.patient {
            self.stream.set_read_timeout(Some(LOOK))?;
            self.patient = true;
        }
        loop {
            if let Some((answer, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(Some(answer));
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes) {
                Ok(0) => bail!("the contender closed the connection"),
                Ok(count) => {
                    if self.buffer.is_empty() {
                        self.first_byte = Instant::now();
                    }
                    self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
                Err(error) if timed_out(&error) && Instant::now() < deadline => {}
                Err(error) if timed_out(&error) => return Ok(None),
                Err(error) => return Err(error).context("reading an answer"),
            }
        }
    }

    /// Sends and receives.
    pub fn ask(&mut self, target: &str) -> anyhow::Result<Answer> {
        self.ask_with(&get(target)).with_context(|| format!("GET {target}"))
    }

    /// Sends a request made with [`get`] or [`post`] and receives.
    pub fn ask_with(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.send(request)?;
        self.receive(Instant::now() + PATIENCE)?.with_context(|| format!("no answer within {PATIENCE:?}"))
    }

    /// Asks until the answer is a 200, as one waits for a new task: the time that took, and the answer.
    pub fn until_ok(
        &mut self,
        request: &[u8],
        since: Instant,
        pause: Duration,
        limit: Duration,
    ) -> anyhow::Result<(Duration, Answer)> {
        loop {
            let answer = self.ask_with(request)?;
            if answer.status == 200 {
                return Ok((since.elapsed(), answer));
            }
            if since.elapsed() > limit {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                bail!("no 200 within {limit:?}; the last answer: {} {body}", answer.status);
            }
            std::thread::sleep(pause);
        }
    }
}

fn timed_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// The answer at the start of `bytes`, once it is complete, and its length.
pub fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > ANSWER_BYTES_MAX {
            bail!("an answer's header does not end");
        }
        return Ok(None);
    };
    let head =
        std::str::from_utf8(bytes.get(..end).unwrap_or_default()).context("an answer's header is no text")?;
    let status =
        head.split(' ').nth(1).and_then(|text| text.parse().ok()).context("an answer without a status")?;
    let length = header(head, "content-length").context("an answer without a length")? as usize;
    let retry_after = header(head, "retry-after");
    let start = end + 4;
    let whole = bytes.get(start..start.saturating_add(length));
    Ok(whole.map(|body| (Answer { status, body: body.to_vec(), retry_after }, start + length)))
}

/// A header that is a number.
fn header(head: &str, wanted: &str) -> Option<u32> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .and_then(|(_, value)| value.trim().parse().ok())
}
