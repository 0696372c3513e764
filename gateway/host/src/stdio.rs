//! A guest's standard output and error: ring buffers that keep the newest bytes and never fail.
//!
//! wasmtime's own pipe keeps the oldest and then closes, which turns the guest's next `eprintln!`
//! into a panic. Writing here costs a lock and a copy; nothing is lost silently, the number of
//! dropped bytes is told. Knows nothing of tasks or runs.

use bytes::Bytes;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes kept of each stream: a long panic message with its backtrace fits.
pub const RING_BYTES_MAX: usize = 64 << 10;

/// Bytes a guest may write at once; it writes again for more.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// The newest bytes of a stream. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ring(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    dropped: u64,
}

/// The last lines of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The lines, without the last one's end.
    pub text: String,
    /// Bytes that were written before them.
    pub before_bytes: u64,
}

impl Ring {
    fn push(&self, new: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = new.len().saturating_sub(RING_BYTES_MAX);
        let new = new.get(skipped..).unwrap_or_default();
        let excess = (kept.bytes.len() + new.len()).saturating_sub(RING_BYTES_MAX);
        kept.bytes.drain(..excess);
        kept.bytes.extend(new);
        kept.dropped += (skipped + excess) as u64;
    }

    /// The last `lines_max` lines as text, at most `bytes_max` bytes; `None` if nothing was written.
    #[must_use]
    pub fn tail(&self, lines_max: usize, bytes_max: usize) -> Option<String> {
        self.last(lines_max, bytes_max).map(|tail| tail.text)
    }

    /// As [`Ring::tail`], with the number of bytes that were written before.
    #[must_use]
    pub fn last(&self, lines_max: usize, bytes_max: usize) -> Option<Tail> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes.is_empty() {
            return None;
        }
        let skip = kept.bytes.len().saturating_sub(bytes_max);
        let bytes: Vec<u8> = kept.bytes.iter().skip(skip).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let first = lines.len().saturating_sub(lines_max);
        let left_out: usize = lines.iter().take(first).map(|line| line.len() + 1).sum();
        let before_bytes = kept.dropped + skip as u64 + left_out as u64;
        Some(Tail { text: lines.get(first..).unwrap_or_default().join("\n"), before_bytes })
    }
}

impl IsTerminal for Ring {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Ring {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Ring {
    async fn ready(&mut self) {}
}

impl OutputStream for Ring {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Ring {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, new: &[u8]) -> Poll<std::io::Result<usize>> {
        self.push(new);
        Poll::Ready(Ok(new.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_stay() {
        let ring = Ring::default();
        assert_eq!(ring.tail(3, 100), None);
        for line in 0..20_000 {
            ring.push(format!("line {line}\n").as_bytes());
        }
        assert_eq!(ring.tail(2, 1000).as_deref(), Some("line 19998\nline 19999"));
        let written: usize = (0..20_000).map(|line: u32| format!("line {line}\n").len()).sum();
        let before = (written - "line 19998\nline 19999\n".len()) as u64;
        assert_eq!(ring.last(2, 1000).map(|tail| tail.before_bytes), Some(before));
        let kept = ring.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(kept.bytes.len(), RING_BYTES_MAX);
        assert!(kept.dropped > 100_000);
    }

    #[test]
    fn one_huge_write_keeps_its_end() {
        let ring = Ring::default();
        ring.push(&vec![b'a'; 3 * RING_BYTES_MAX]);
        ring.push(b"\nend");
        assert_eq!(ring.tail(1, 1000).as_deref(), Some("end"));
    }
}
