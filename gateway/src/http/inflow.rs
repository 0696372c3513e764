//! A request's body as it flows to a guest: bounded in size if the task says so, and in the client's
//! silence.
//!
//! The clock runs only while the guest waits for the client, so that a guest that reads slowly costs
//! nobody anything. What went wrong is kept for the answer, since the guest may make anything of it.
//! How the bytes are used is not known here.

use super::Settings;
use crate::error::{Error, Kind};
use crate::exchange::Stream;
use crate::limits::{self, Limits};
use crate::runtime::Observed;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Why a body broke off, for whoever answers the request. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Complaint(Arc<Mutex<Option<Error>>>);

impl Complaint {
    /// What the client did wrong, once.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// A part of a body, its end, or what is wrong with it.
type Part = Option<Result<Frame<Bytes>, axum::Error>>;

/// See the file's page.
pub struct Inflow {
    body: Body,
    /// What came of asking for the first part before the guest did.
    ahead: Option<Part>,
    bytes_max: Option<u64>,
    seen: u64,
    timeout: Duration,
    /// Runs while the guest waits for the client.
    silence: Option<Pin<Box<Sleep>>>,
    complaint: Complaint,
    observed: Observed,
}

impl Inflow {
    /// Wraps the body of a request. A client that waits to be asked for it (`Expect: 100-continue`, RFC 9110
    /// section 10.1.1) is asked now: a guest that writes the head of its answer before it reads would leave the
    /// client waiting until its patience ends, a second with curl.
    ///
    /// # Errors
    /// `input-too-large`, if the stated length tells.
    pub async fn open(
        headers: &HeaderMap,
        mut body: Body,
        limits: &Limits,
        settings: &Settings,
        complaint: Complaint,
        observed: Observed,
    ) -> Result<Stream, Error> {
        let bytes_max = limits.stream;
        if let (Some(stated), Some(most)) = (body.size_hint().exact(), bytes_max)
            && stated > most
        {
            return Err(too_large(&limits::bytes(stated), most));
        }
        let timeout = settings.body_timeout;
        let ahead = if headers.contains_key(EXPECT) { asked_for(&mut body).await } else { None };
        Ok(Self { body, ahead, bytes_max, seen: 0, timeout, silence: None, complaint, observed }
            .boxed_unsync())
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let copy = Error::new(error.kind, error.detail.clone());
        self.complaint.put(error);
        Poll::Ready(Some(Err(copy)))
    }
}

/// Asks for the first part of a body, which is what polling it does.
async fn asked_for(body: &mut Body) -> Option<Part> {
    let poll = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    // The connection asks its client when it is polled next, unless it was handed an answer by then.
    tokio::task::yield_now().await;
    match poll {
        Poll::Ready(part) => Some(part),
        Poll::Pending => None,
    }
}

fn too_large(found: &str, most: u64) -> Error {
    let limit = limits::bytes(most);
    Error::new(
        Kind::InputTooLarge,
        format!(
            "found a body of {found}, expected at most {limit}; raise stream under [limits] in the task's manifest"
        ),
    )
    .limit("stream", limit)
}

impl http_body::Body for Inflow {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let poll = match self.ahead.take() {
            Some(part) => Poll::Ready(part),
            None => Pin::new(&mut self.body).poll_frame(cx),
        };
        match poll {
            Poll::Pending => {
                let timeout = self.timeout;
                let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(timeout)));
                if silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let timeout = limits::duration(timeout);
                self.fail(Error::new(
                    Kind::RequestTimeout,
                    format!("the body paused: expected some of it every {timeout}"),
                ))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.silence = None;
                let bytes = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                self.seen += bytes;
                self.observed.received(bytes);
                match self.bytes_max.filter(|most| self.seen > *most) {
                    Some(most) => {
                        let found = format!("{} or more", limits::bytes(self.seen));
                        self.fail(too_large(&found, most))
                    }
                    None => Poll::Ready(Some(Ok(frame))),
                }
            }
            Poll::Ready(Some(Err(cause))) => self.fail(
                Error::new(Kind::BadArguments, "the body ended early or is framed wrongly").caused_by(cause),
            ),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = match &self.ahead {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, |bytes| bytes.len() as u64),
            _ => 0,
        };
        let (rest, mut hint) = (self.body.size_hint(), SizeHint::new());
        if let Some(most) = rest.upper() {
            hint.set_upper(most.saturating_add(ahead));
        }
        hint.set_lower(rest.lower().saturating_add(ahead));
        hint
    }
}
