//! Streams between a run and its caller: a program's standard input and output.
//!
//! [`Pipe`] carries what the guest writes to whoever reads the response, [`Input`] what the caller
//! sends to the guest's `stdin`. Both are bounded: a writer waits for room, which parks the run, so
//! that a slow reader slows the guest down and nothing piles up. Knows bytes, not HTTP.

use crate::waiters::Waiters;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes written but not yet read; a writer then waits.
pub const PIPE_BYTES_MAX: usize = 128 << 10;

/// What the guest writes to its standard output, on its way to a reader. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Pipe(Arc<Mutex<Flow>>);

#[derive(Debug, Default)]
struct Flow {
    bytes: BytesMut,
    /// Nothing more will be written.
    closed: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
    writers: Waiters,
}

impl Flow {
    fn room(&self) -> usize {
        PIPE_BYTES_MAX.saturating_sub(self.bytes.len())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        if self.abandoned {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.room() {
            0 => {
                self.writers.add(cx.waker());
                Poll::Pending
            }
            room => Poll::Ready(Ok(room)),
        }
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait to be read.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Looks at what waits to be read, and leaves it there.
    pub fn peek<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.lock().bytes)
    }

    /// Drops the first `count` bytes of what waits.
    pub fn skip(&self, count: usize) {
        let mut flow = self.lock();
        let count = count.min(flow.bytes.len());
        drop(flow.bytes.split_to(count));
    }

    /// Ready once something can be written: how much.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.lock().poll_room(cx)
    }

    /// Says that nothing more will be written.
    pub fn close(&self) {
        let mut flow = self.lock();
        flow.closed = true;
        if let Some(reader) = flow.reader.take() {
            reader.wake();
        }
    }

    /// The reading end: there is one. Dropped, it makes further writes fail.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(self.clone())
    }
}

/// The reading end of a [`Pipe`].
#[derive(Debug)]
pub struct Reader(Pipe);

impl Drop for Reader {
    fn drop(&mut self) {
        let mut flow = self.0.lock();
        flow.abandoned = true;
        flow.bytes = BytesMut::new();
        flow.writers.wake_all();
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut flow = self.0.lock();
        if !flow.bytes.is_empty() {
            let bytes = flow.bytes.split().freeze();
            flow.writers.wake_all();
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if flow.closed {
            return Poll::Ready(None);
        }
        flow.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let flow = self.0.lock();
        flow.closed && flow.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let flow = self.0.lock();
        let waiting = flow.bytes.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(waiting);
        if flow.closed {
            hint.set_upper(waiting);
        }
        hint
    }
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {
        // A closed pipe is ready, too: the next write says so.
        let _ = poll_fn(|cx| self.lock().poll_room(cx)).await;
    }
}

impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut flow = self.lock();
        if flow.abandoned {
            return Err(StreamError::Closed);
        }
        if bytes.len() > flow.room() {
            return Err(StreamError::trap("a write of more than check-write allowed"));
        }
        flow.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        if self.lock().abandoned { Err(StreamError::Closed) } else { Ok(()) }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let flow = self.lock();
        if flow.abandoned { Err(StreamError::Closed) } else { Ok(flow.room()) }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.lock();
        let count = ready!(flow.poll_room(cx))?.min(bytes.len());
        flow.push(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the caller sends, as the guest's standard input. Clones share the place they are at.
#[derive(Clone)]
pub struct Input(Arc<Mutex<Source>>);

struct Source {
    body: Option<UnsyncBoxBody<Bytes, io::Error>>,
    chunk: Bytes,
    /// The body keeps one waker, whoever asked last: this one.
    readers: Arc<Waiters>,
}

impl Input {
    /// An input that reads `body`.
    #[must_use]
    pub fn new(body: UnsyncBoxBody<Bytes, io::Error>) -> Self {
        Self(Arc::new(Mutex::new(Source { body: Some(body), chunk: Bytes::new(), readers: Arc::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready once there is something to read; with `false`, at the end.
    pub(crate) fn poll_filled(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.lock().poll_chunk(cx)
    }
}

impl Source {
    /// Ready once `chunk` holds something; with `false`, at the end.
    fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<io::Result<bool>> {
        while self.chunk.is_empty() {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(Ok(false)) };
            // Before the body is asked: what comes in between wakes as well.
            self.readers.add(cx.waker());
            let all = Waker::from(Arc::clone(&self.readers));
            match ready!(Pin::new(body).poll_frame(&mut Context::from_waker(&all))) {
                // Trailers are no input.
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.body = None;
                    return Poll::Ready(Err(error));
                }
                None => self.body = None,
            }
        }
        Poll::Ready(Ok(true))
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Stream { input: self.clone(), failed: None })
    }

    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
}

/// One handle of the guest's on its input.
struct Stream {
    input: Input,
    /// Seen while waiting, told by the next read.
    failed: Option<io::Error>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        if let Err(error) = poll_fn(|cx| self.input.lock().poll_chunk(cx)).await {
            self.failed = Some(error);
        }
    }
}

impl InputStream for Stream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if let Some(error) = self.failed.take() {
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        let mut source = self.input.lock();
        // Whoever finds nothing asks to be woken by `ready`.
        match source.poll_chunk(&Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(Bytes::new()),
            Poll::Ready(Ok(false)) => Err(StreamError::Closed),
            Poll::Ready(Ok(true)) => {
                let count = size.min(source.chunk.len());
                Ok(source.chunk.split_to(count))
            }
            Poll::Ready(Err(error)) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut source = self.lock();
        if ready!(source.poll_chunk(cx))? {
            let count = buffer.remaining().min(source.chunk.len());
            let bytes = source.chunk.split_to(count);
            buffer.put_slice(&bytes);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiters::tests::Woken;
    use http_body_util::BodyExt as _;
    use std::sync::atomic::Ordering;

    fn next(reader: &mut Reader) -> Option<Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(reader).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            _ => None,
        }
    }

    #[test]
    fn a_writer_waits_for_room_and_goes_on_when_something_was_read() {
        let mut pipe = Pipe::default();
        let mut reader = pipe.reader();
        assert_eq!(pipe.check_write().ok(), Some(PIPE_BYTES_MAX));
        pipe.write(Bytes::from(vec![1; PIPE_BYTES_MAX])).expect("room");
        assert_eq!(pipe.check_write().ok(), Some(0));
        assert!(pipe.write(Bytes::from_static(b"x")).is_err());
        assert_eq!(next(&mut reader).map(|bytes| bytes.len()), Some(PIPE_BYTES_MAX));
        pipe.write(Bytes::from_static(b"x")).expect("room again");
        pipe.close();
        assert_eq!(reader.size_hint().exact(), Some(1));
        assert_eq!(next(&mut reader).as_deref(), Some(&b"x"[..]));
        assert!(reader.is_end_stream());
    }

    #[test]
    fn writing_fails_when_nobody_reads() {
        let mut pipe = Pipe::default();
        drop(pipe.reader());
        assert!(matches!(pipe.check_write(), Err(StreamError::Closed)));
    }

    #[test]
    fn several_streams_wait_at_one_pipe_and_at_one_input() {
        let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let woken = || (first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed));
        let pipe = Pipe::default();
        let mut reader = pipe.reader();
        pipe.lock().push(&[1; PIPE_BYTES_MAX]);
        let body = pipe.reader().map_err(|never| match never {}).boxed_unsync();
        for one in [&first, &second] {
            let waker = Waker::from(Arc::clone(one));
            let polled = Pin::new(&mut pipe.clone()).poll_write(&mut Context::from_waker(&waker), b"x");
            assert!(polled.is_pending());
        }
        assert!(next(&mut reader).is_some());
        assert_eq!(woken(), (1, 1));
        // Two readers of what comes through the pipe.
        let input = Input::new(body);
        for one in [&first, &second] {
            let waker = Waker::from(Arc::clone(one));
            assert!(input.lock().poll_chunk(&Context::from_waker(&waker)).is_pending());
        }
        pipe.lock().push(b"x");
        assert_eq!(woken(), (2, 2));
    }
}
