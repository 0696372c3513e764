//! Who watches a run's outgoing requests: told of each, and given its head to add to.
//!
//! A request is watched from before it is checked, so that one which is refused is seen too, until the
//! body of its response is read or dropped. Without a watcher nothing of this exists. Knows no traces.

use super::Answer;
use bytes::Bytes;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime_wasi_http::{Error, WasiBody};

/// See the file's page.
pub trait Watch: Send + Sync {
    /// The guest asks for a request. Its header may be added to; method and URI are the guest's.
    fn begins(&self, head: &mut Parts) -> Box<dyn Watched>;
}

/// A request under way. Dropped at its end; before it was answered or failed, its run was stopped.
pub trait Watched: Send {
    /// The head of the response has come, with this status.
    fn answered(&mut self, status: u16);
    /// It failed: the name of an error code of `wasi:http`.
    fn failed(&mut self, code: &str);
}

/// Tells how a request went, and goes on to the end of its response's body.
pub(super) fn follow(answer: Answer, watched: Option<Box<dyn Watched>>) -> Answer {
    let Some(mut watched) = watched else { return answer };
    match answer {
        Ok((response, io)) => {
            watched.answered(response.status().as_u16());
            Ok((response.map(|body| Followed { body, watched }.boxed_unsync()), io))
        }
        Err(error) => {
            watched.failed(&code(&error));
            Err(error)
        }
    }
}

/// The error's name, without what it says of this one request.
fn code(error: &Error) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// The body of a response that is watched.
struct Followed {
    body: WasiBody,
    watched: Box<dyn Watched>,
}

impl Body for Followed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &polled {
            self.watched.failed(&code(error));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
