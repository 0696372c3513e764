//! A `stream<u8>` of the component model, to and from the caller.
//!
//! [`Input`] feeds one that a guest reads, [`Outflow`] takes what a guest writes to one into a [`Pipe`].
//! Bytes are copied between the guest's memory and the caller's buffers once, and a side that is not
//! ready makes the other wait. Knows no functions and no HTTP.

use crate::host::Host;
use crate::pipe::{Input, Pipe};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Source, StreamConsumer, StreamProducer, StreamReader, StreamResult, Val, VecBuffer,
};

/// Bytes that are asked for where the reader is not a guest's buffer.
const PIECE_BYTES: usize = 64 << 10;

impl StreamProducer<Host> for Input {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, Host>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            // The guest wants to know when there is something, and not to have it.
            return unless_finished(self.poll_filled(cx)?, finish).map(|filled| {
                Ok(filled.map_or(StreamResult::Cancelled, |filled| match filled {
                    true => StreamResult::Completed,
                    false => StreamResult::Dropped,
                }))
            });
        }
        let mut direct = destination.as_direct(store, PIECE_BYTES);
        let mut buffer = ReadBuf::new(direct.remaining());
        // A body that broke off is an error: it must not look like one that ended.
        let read = self.poll_read(cx, &mut buffer)?;
        let count = buffer.filled().len();
        unless_finished(read, finish).map(|read| {
            Ok(match read {
                None => StreamResult::Cancelled,
                Some(()) if count == 0 => StreamResult::Dropped,
                Some(()) => {
                    direct.mark_written(count);
                    StreamResult::Completed
                }
            })
        })
    }
}

/// A guest that takes an operation back does not wait for it: `None`.
fn unless_finished<T>(poll: Poll<T>, finish: bool) -> Poll<Option<T>> {
    match poll {
        Poll::Pending if finish => Poll::Ready(None),
        poll => poll.map(Some),
    }
}

impl Input {
    /// The input as the value of a `stream<u8>`.
    ///
    /// # Errors
    /// The store's table is full.
    pub fn into_value(self, mut store: impl wasmtime::AsContextMut<Data = Host>) -> wasmtime::Result<Val> {
        Ok(Val::Stream(StreamReader::new(&mut store, self)?.try_into_stream_any(&mut store)?))
    }
}

/// Where the bytes of a guest's stream go.
pub struct Outflow {
    pipe: Pipe,
    /// Dropped with the stream's reading end.
    _done: oneshot::Sender<()>,
}

impl Outflow {
    /// Takes all of the stream that `value` is into `pipe`, for as long as the store runs. What is
    /// returned resolves, with an error, once the guest has written its last byte.
    ///
    /// # Errors
    /// It is no stream of bytes.
    pub fn take(
        value: Val,
        pipe: Pipe,
        store: impl wasmtime::AsContextMut<Data = Host>,
    ) -> wasmtime::Result<oneshot::Receiver<()>> {
        let Val::Stream(stream) = value else {
            return Err(wasmtime::Error::msg("a result that is no stream, where the type says so"));
        };
        let (done, ended) = oneshot::channel();
        StreamReader::<u8>::try_from_stream_any(stream)?.pipe(store, Self { pipe, _done: done })?;
        Ok(ended)
    }
}

impl StreamConsumer<Host> for Outflow {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<Host>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut direct = source.as_direct(store);
        let bytes = direct.remaining();
        let written = match bytes.is_empty() {
            true => self.pipe.poll_ready(cx).map_ok(|_| 0),
            false => Pin::new(&mut self.pipe).poll_write(cx, bytes),
        };
        unless_finished(written, finish).map(|written| {
            Ok(match written {
                None => StreamResult::Cancelled,
                // Nobody reads any more.
                Some(Err(_)) => StreamResult::Dropped,
                Some(Ok(count)) => {
                    direct.mark_read(count);
                    StreamResult::Completed
                }
            })
        })
    }
}
