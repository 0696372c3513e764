//! The body of a streamed response, which holds the run that writes it.
//!
//! While it is read the run goes on; dropped before its end, it stops the run; read to its end, it
//! lets the guest go on alone. A body that ended because its run broke off ends with that error, so
//! that it never looks complete. Knows not who reads it.

use super::End;
use crate::error::{Error, Kind};
use crate::exchange::{Fate, Reply, Stream};
use crate::limits;
use crate::runtime::Done;
use bytes::Bytes;
use futures_util::future::{Either, Ready};
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use unblock_pool::{Outcome, Ticket};

/// Who is told of a failure after the head of the response was sent.
pub type Late = Arc<dyn Fn(&Error) + Send + Sync>;

/// A run's end, come or to come.
pub(super) type Ending = Either<Ticket<Done<()>>, Ready<Outcome<Done<()>>>>;

/// See the file's page.
pub struct Body {
    inner: Stream,
    /// Bytes that the response's header announces; none for a response that has no body.
    expected: Option<u64>,
    seen: u64,
    stream_bytes_max: Option<u64>,
    /// Nothing more is to come.
    complete: bool,
    /// How the body ends, once what came before was given to the client.
    failure: Option<Error>,
    run: Option<Hold>,
    fate: Fate,
}

/// What keeps the run alive.
struct Hold {
    ending: Ending,
    end: End,
    late: Late,
}

impl Body {
    pub(super) fn wrap(
        reply: Reply,
        (ending, end, fate): (Ending, End, Fate),
        late: Late,
        bodiless: bool,
        stream_bytes_max: Option<u64>,
    ) -> http::Response<Self> {
        let (head, inner) = reply.into_parts();
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let expected = if bodiless || no_body(&head) { Some(0) } else { announced };
        let run = Some(Hold { ending, end, late });
        let mut body =
            Self { inner, expected, seen: 0, stream_bytes_max, complete: false, failure: None, run, fate };
        body.note();
        http::Response::from_parts(head, body)
    }

    /// Notices the end where the reader may not ask for it.
    fn note(&mut self) {
        self.complete |= self.expected.is_some_and(|expected| self.seen >= expected);
        self.complete |= http_body::Body::is_end_stream(&self.inner) && !self.fate.broken();
    }

    /// The body broke off: tells why, once the run has ended.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Some(hold) = self.run.as_mut() else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(&mut hold.ending).poll(cx));
        let Some(Hold { end, late, .. }) = self.run.take() else { return Poll::Ready(None) };
        let error = match end.of(outcome).result {
            Ok(()) => Error::new(Kind::BadResponse, "the response's body broke off"),
            Err(error) => error,
        };
        late(&error);
        Poll::Ready(Some(error))
    }

    /// Stops the run and tells why.
    fn stop(&mut self, error: &mut Error) {
        if let Some(Hold { end, late, .. }) = self.run.take() {
            end.failed(error);
            late(error);
        }
    }

    /// Ends the body with an error at the next poll. A server that is given it at once drops what it
    /// has not yet sent: the response's head, maybe.
    fn fail(&mut self, error: Error, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.failure = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether a response has no body whatever it says (RFC 9110, 6.4.1).
fn no_body(head: &http::response::Parts) -> bool {
    head.status.is_informational() || matches!(head.status.as_u16(), 204 | 304)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                self.seen += bytes;
                if let Some(hold) = &self.run {
                    hold.end.observed.sent(bytes);
                }
                if let Some(most) = self.stream_bytes_max.filter(|most| self.seen > *most) {
                    let mut error = too_long(most);
                    self.stop(&mut error);
                    return self.fail(error, cx);
                }
                self.note();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(mut error)) => {
                self.stop(&mut error);
                self.fail(error, cx)
            }
            None if self.fate.broken() => match ready!(self.poll_broken(cx)) {
                Some(error) => self.fail(error, cx),
                None => Poll::Ready(None),
            },
            None => {
                self.complete = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.complete
    }

    fn size_hint(&self) -> SizeHint {
        match self.expected {
            Some(0) => SizeHint::with_exact(0),
            _ => self.inner.size_hint(),
        }
    }
}

fn too_long(most: u64) -> Error {
    let limit = limits::bytes(most);
    Error::new(
        Kind::OutputTooLarge,
        format!("the response is over {limit}; raise `stream` under [limits] in the task's manifest"),
    )
    .limit("stream", limit)
}

impl Drop for Body {
    fn drop(&mut self) {
        // Without an end the reader is gone: dropping the ticket stops the run.
        let Some(Hold { mut ending, end, late }) = self.run.take().filter(|_| self.complete) else { return };
        let finish = move |outcome| {
            if let Err(error) = end.of(outcome).result {
                late(&error);
            }
        };
        match Pin::new(&mut ending).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => finish(outcome),
            Poll::Pending => drop(tokio::spawn(async move { finish(ending.await) })),
        }
    }
}
