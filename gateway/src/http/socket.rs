//! A connection, in clear or under TLS, with two manners that the HTTP layer lacks.
//!
//! It cuts off a client that stops reading its response, and it closes gently: a client that still
//! sends a body that nobody reads any more would otherwise get a reset, which discards the response.
//! So after such a response it says goodbye and discards input for a while before it lets go. It
//! knows bytes, not HTTP.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long input is discarded after the response at most: time for the client to send what it has
/// begun and to notice the response. As nginx's `lingering_time`.
const LINGER: Duration = Duration::from_secs(30);

/// How long the next input is waited for meanwhile. As nginx's `lingering_timeout`.
const LINGER_IDLE: Duration = Duration::from_secs(5);

/// Bytes discarded at a time, on the stack.
const DISCARD_BYTES: usize = 4096;

/// Reads per poll while discarding, so that a fast sender cannot hold the thread.
const DISCARDS_PER_POLL_MAX: usize = 64;

/// Connections at once that are closed gently after they broke: they are in no other account.
const BROKEN_MAX: usize = 1_024;

static BROKEN: AtomicUsize = AtomicUsize::new(0);

/// A place among them, given back when it is dropped: also with a runtime that ends.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let place = Self;
        // Over the bound, dropping it gives back what was just taken.
        (BROKEN.fetch_add(1, Ordering::Relaxed) < BROKEN_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        BROKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the file's front.
pub struct Socket<S: Stream> {
    /// Gone once it was handed on to be closed.
    stream: Option<TokioIo<S>>,
    write_timeout: Duration,
    /// Set while the last request's body was not read to its end.
    linger: Arc<AtomicBool>,
    /// When the sending side was closed.
    goodbye: Option<Instant>,
    /// Runs while a write or the goodbye waits for the client.
    timer: Option<Pin<Box<Sleep>>>,
    /// It broke, and was handed on to be closed.
    broken: bool,
}

/// What a connection is made of.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

impl<S: Stream> Socket<S> {
    /// Wraps a connection.
    pub fn new(stream: S, write_timeout: Duration, linger: Arc<AtomicBool>) -> Self {
        Self {
            stream: Some(TokioIo::new(stream)),
            write_timeout,
            linger,
            goodbye: None,
            timer: None,
            broken: false,
        }
    }

    fn io(&mut self) -> io::Result<Pin<&mut TokioIo<S>>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Passes a write's outcome on, unless the client has taken nothing for too long.
    fn patient<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            if self.timer.is_some() {
                self.timer = None;
            }
            return poll;
        }
        ready!(self.wait(cx, self.write_timeout));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its response")))
    }

    fn wait(&mut self, cx: &mut Context<'_>, timeout: Duration) -> Poll<()> {
        self.timer.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }

    /// Discards input until the client is done, or time is up.
    fn discard(&mut self, cx: &mut Context<'_>, goodbye: Instant) -> Poll<()> {
        let mut bytes = [0; DISCARD_BYTES];
        for _ in 0..DISCARDS_PER_POLL_MAX {
            let left = LINGER.saturating_sub(goodbye.elapsed());
            let mut buffer = ReadBuf::new(&mut bytes);
            let Some(stream) = &mut self.stream else { return Poll::Ready(()) };
            match Pin::new(stream.inner_mut()).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && !left.is_zero() => self.timer = None,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.wait(cx, left.min(LINGER_IDLE)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Stream> Read for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io()?.poll_read(cx, buffer)
    }
}

impl<S: Stream> Write for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = self.io()?.poll_write(cx, bytes);
        self.patient(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = self.io()?.poll_write_vectored(cx, slices);
        self.patient(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(Write::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let goodbye = match self.goodbye {
            Some(goodbye) => goodbye,
            None => {
                ready!(self.io()?.poll_shutdown(cx))?;
                self.timer = None;
                *self.goodbye.insert(Instant::now())
            }
        };
        if self.linger.load(Ordering::Relaxed) {
            ready!(self.discard(cx, goodbye));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> Drop for Socket<S> {
    /// A response that breaks off ends its connection without a goodbye: it is said here, for the same reason.
    fn drop(&mut self) {
        if self.broken || self.goodbye.is_some() || !self.linger.load(Ordering::Relaxed) {
            return;
        }
        // Without a runtime everything ends.
        let (Some(stream), Ok(runtime)) = (self.stream.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let Some(place) = Place::take() else { return };
        let (write_timeout, linger) = (self.write_timeout, Arc::clone(&self.linger));
        let mut socket =
            Self { stream: Some(stream), write_timeout, linger, goodbye: None, timer: None, broken: true };
        runtime.spawn(async move {
            // Whoever is gone needs no goodbye.
            let _ = poll_fn(|cx| Pin::new(&mut socket).poll_shutdown(cx)).await;
            drop(place);
        });
    }
}
