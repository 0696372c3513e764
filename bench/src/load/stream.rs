//! One request with a body of any length, written and read at the same time over plain sockets.
//!
//! For what a keep-alive connection of `connection.rs` does not do: bodies that stream both ways,
//! answers of unknown length. The connection ends with the answer. Chunks are decoded, so that what
//! is counted is the body.

use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes written at a time.
const PIECE: usize = 256 << 10;

/// Longest silence of the other side.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most lines of an answer's head.
const HEAD_LINES_MAX: usize = 100;

/// What came back.
pub struct Echoed {
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the connection's start to the answer's end.
    pub time: Duration,
}

/// Posts `bytes` of body and reads the answer, which must be a 200.
pub fn post(address: SocketAddr, target: &str, bytes: u64) -> anyhow::Result<Echoed> {
    let start = Instant::now();
    let stream = TcpStream::connect(address).context("connecting to a contender")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut output = stream.try_clone().context("a second handle of a socket")?;
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    );
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        output.write_all(head.as_bytes())?;
        let piece = vec![b'x'; PIECE];
        let mut left = bytes;
        while left > 0 {
            let next = left.min(PIECE as u64);
            output.write_all(piece.get(..next as usize).unwrap_or_default())?;
            left -= next;
        }
        Ok(())
    });
    let read = read(&mut BufReader::with_capacity(PIECE, stream));
    let written = writer.join();
    let bytes = read?;
    match written {
        Ok(written) => written.context("writing the body")?,
        Err(_) => bail!("the writing thread panicked"),
    }
    Ok(Echoed { bytes, time: start.elapsed() })
}

/// Reads a whole answer; the length of its body.
fn read(input: &mut BufReader<TcpStream>) -> anyhow::Result<u64> {
    let status = line(input)?;
    if !status.starts_with("HTTP/1.1 200") {
        bail!("the answer was {status:?}");
    }
    let (mut length, mut chunked) = (None, false);
    for _ in 0..HEAD_LINES_MAX {
        let header = line(input)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<u64>().context("a length")?);
        }
        chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
    }
    if !chunked {
        let length = length.context("an answer without a length")?;
        skip(input, length)?;
        return Ok(length);
    }
    let mut bytes = 0;
    loop {
        let size = line(input)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.context("a chunk without a size: the answer was cut off")?;
        if size == 0 {
            return Ok(bytes);
        }
        skip(input, size)?;
        skip(input, 2)?;
        bytes += size;
    }
}

fn line(input: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    input.take(64 << 10).read_line(&mut line).context("reading an answer")?;
    Ok(line.trim_end().to_owned())
}

fn skip(input: &mut BufReader<TcpStream>, bytes: u64) -> anyhow::Result<()> {
    let skipped = std::io::copy(&mut input.take(bytes), &mut std::io::sink()).context("reading a body")?;
    if skipped < bytes {
        bail!("the answer was cut off");
    }
    Ok(())
}
