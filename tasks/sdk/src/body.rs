//! The raw bodies of a call: [`Body`], what the client sent, and [`Raw`], what it gets.
//!
//! Both are types in a signature that are no part of the function's interface: the bytes pass through
//! the gateway's interface `unblock:task/body`, at the speed of memory. Knows nothing of macros but
//! what they call here.

use std::io::{BufRead, Read, Result};

/// Bytes that are asked of the gateway at once where the caller does not say how many.
const CHUNK_BYTES: u32 = 64 * 1024;

/// The raw body of the request, as a parameter of a task.
///
/// Read it whole, chunk by chunk, or as any [`Read`] or [`BufRead`]; bytes come in order and each
/// once. The function's other parameters come from the query string.
///
/// In a test of the task, `Body::from` bytes takes the place of a request.
#[derive(Debug)]
pub struct Body {
    source: Source,
    /// What was read of the source, but not yet by the task: from `start` on.
    buffer: Vec<u8>,
    start: usize,
}

#[derive(Debug)]
enum Source {
    /// What the client sent.
    #[cfg(target_family = "wasm")]
    Request,
    /// What a test gives.
    Given { size: u64, content_type: Option<String> },
}

impl Body {
    /// The size of the whole body in bytes, however much of it was read; 0 if there is none.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.source {
            #[cfg(target_family = "wasm")]
            Source::Request => host::size(),
            Source::Given { size, .. } => *size,
        }
    }

    /// The media type that the client sent, such as `image/png`, if it sent one. A claim of the
    /// client's: look at the bytes before you rely on it.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        match &self.source {
            #[cfg(target_family = "wasm")]
            Source::Request => host::content_type(),
            Source::Given { content_type, .. } => content_type.clone(),
        }
    }

    /// All that was not yet read. It must fit in the task's memory limit.
    #[must_use]
    pub fn read_all(&mut self) -> Vec<u8> {
        let rest = self.take_buffer();
        match &self.source {
            #[cfg(target_family = "wasm")]
            Source::Request if rest.is_empty() => host::read_all(),
            #[cfg(target_family = "wasm")]
            Source::Request => [rest, host::read_all()].concat(),
            Source::Given { .. } => rest,
        }
    }

    /// The next chunk, never empty and at most 64 KiB in size; `None` at the end.
    #[must_use]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.fill();
        let end = self.buffer.len().min(self.start.saturating_add(CHUNK_BYTES as usize));
        let chunk = self.buffer.get(self.start..end)?.to_vec();
        self.start = end;
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }

    /// The same body with a media type, for tests.
    #[must_use]
    pub fn with_content_type(mut self, media_type: &str) -> Self {
        self.source = Source::Given { size: self.size(), content_type: Some(media_type.to_owned()) };
        self
    }

    /// Makes sure that something is in the buffer, unless the body ended.
    fn fill(&mut self) {
        #[cfg(target_family = "wasm")]
        if self.start == self.buffer.len() && matches!(self.source, Source::Request) {
            self.buffer = host::read(CHUNK_BYTES);
            self.start = 0;
        }
    }

    fn take_buffer(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        rest.drain(..std::mem::take(&mut self.start));
        rest
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut rest = self.fill_buf()?;
        let read = rest.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.fill();
        Ok(self.buffer.get(self.start..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.start = self.start.saturating_add(amount).min(self.buffer.len());
    }
}

/// What a test passes where a request would be.
impl<T: Into<Vec<u8>>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let buffer = bytes.into();
        let source = Source::Given { size: buffer.len() as u64, content_type: None };
        Self { source, buffer, start: 0 }
    }
}

/// A raw response, as the result of a task: bytes and what they are.
///
/// A task returns `Raw` or `Result<Raw, E>`; an error is answered as with any other function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The media type, such as `image/png`. A string that is none ends the call with an error.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Raw {
    /// A response of these bytes.
    pub fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), body: body.into() }
    }
}

/// The body of the call that runs. There is none in a test.
#[must_use]
pub fn request_body() -> Body {
    #[cfg(target_family = "wasm")]
    let body = Body { source: Source::Request, buffer: Vec::new(), start: 0 };
    #[cfg(not(target_family = "wasm"))]
    let body = Body::from([]);
    body
}

/// Sends a response. It goes nowhere in a test.
pub fn answer(raw: Raw) {
    #[cfg(target_family = "wasm")]
    {
        host::set_content_type(&raw.content_type);
        host::write(&raw.body);
    }
    #[cfg(not(target_family = "wasm"))]
    drop(raw);
}

#[cfg(target_family = "wasm")]
use crate::host::bindings::unblock::task::body as host;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_whole_by_chunks_or_by_lines() -> Result<()> {
        let mut body = Body::from(vec![7; 100_000]).with_content_type("image/png");
        assert_eq!((body.size(), body.content_type().as_deref()), (100_000, Some("image/png")));
        let mut start = [0; 10];
        body.read_exact(&mut start)?;
        assert_eq!(start, [7; 10]);
        assert_eq!(body.chunk().map(|chunk| chunk.len()), Some(64 * 1024));
        assert_eq!(body.read_all().len(), 100_000 - 10 - 64 * 1024);
        assert_eq!((body.chunk(), body.read_all().len(), body.size()), (None, 0, 100_000));
        let lines: Result<Vec<String>> = Body::from("a\nb").lines().collect();
        assert_eq!(lines?, ["a", "b"]);
        Ok(())
    }
}
