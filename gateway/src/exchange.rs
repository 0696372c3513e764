//! The vocabulary of a call whose bodies flow: `wasi:http` guests, WASI commands, functions over streams.
//!
//! Plain words that the edge, the invoker and the runtime share. Requests and responses are those of
//! the crate `http`, bodies are streams with back-pressure. It knows neither a server nor an engine.

use crate::error::Error;
use crate::task::Arguments;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// A body that flows. Its error is what went wrong on the way, in the words of a problem.
pub type Stream = UnsyncBoxBody<Bytes, Error>;

/// A response whose body may still be written.
pub type Reply = http::Response<Stream>;

/// Where a run sends its response's head, once.
pub type Head = oneshot::Sender<Reply>;

/// What a guest of streams is asked.
pub enum Exchange {
    /// A request for a `wasi:http` guest.
    Http(http::Request<Stream>),
    /// A command line.
    Command(Command),
    /// A call of a function whose result is a stream of bytes.
    Call(StreamCall),
}

/// See [`Exchange::Call`].
pub struct StreamCall {
    /// The function's index in the task.
    pub function: usize,
    /// What the caller sent.
    pub arguments: Arguments,
}

/// What a command runs with.
pub struct Command {
    /// Its arguments; the first is its own name.
    pub arguments: Vec<String>,
    /// Variables beside the granted ones (RFC 3875, for tasks that ask for it).
    pub variables: Vec<(String, String)>,
    /// Its standard input.
    pub input: Stream,
    /// What its standard output is.
    pub printed: Printed,
}

/// How a command's standard output becomes a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Printed {
    /// A body: text, if it begins as valid UTF-8, else bytes.
    #[default]
    Sniffed,
    /// A body of this media type.
    As(String),
    /// A header as in RFC 3875, section 6, then a body.
    Cgi,
}

/// Whether a run broke off. Its body then ended early, and must not look complete.
#[derive(Clone, Debug, Default)]
pub struct Fate(Arc<AtomicBool>);

impl Fate {
    /// Whether the run ended in any way but a good one. Certain as soon as the body has ended.
    #[must_use]
    pub fn broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// A guard that says so unless it is told of a good end; also when the run is thrown away.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { fate: self.clone(), good: false }
    }
}

/// See [`Fate::watch`].
pub struct Watch {
    fate: Fate,
    good: bool,
}

impl Watch {
    /// The run ended well.
    pub fn ended_well(mut self) {
        self.good = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.good {
            self.fate.0.store(true, Ordering::Release);
        }
    }
}
