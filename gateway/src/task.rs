//! The vocabulary of a call: names, kinds, what comes in, what goes out, how long it took.
//!
//! Plain data that every layer may see. It knows no framework: no HTTP types, no wasm types, no
//! files. The five nouns of the project are defined in the crate's front page; this file holds
//! the first two, *Task* (a loaded module) and *Run* (one execution of one of its functions).

use crate::exchange::Stream;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest task name, in bytes: it is a file's stem and a path segment.
pub const NAME_BYTES_MAX: usize = 100;

/// A task's name: `[a-z0-9][a-z0-9-]*`, the stem of its module's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName(Arc<str>);

impl TaskName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// A text that says what was found and what a name may hold.
    pub fn new(name: &str) -> Result<Self, String> {
        let mut bytes = name.bytes();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if bytes.next().is_some_and(plain)
            && bytes.all(|b| plain(b) || b == b'-')
            && name.len() <= NAME_BYTES_MAX
        {
            return Ok(Self(name.into()));
        }
        Err(format!(
            "{name:?} is no task name: expected lower-case letters, digits and '-', not starting with '-', \
             at most {NAME_BYTES_MAX} bytes; rename the file"
        ))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TaskName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What a module is, decided once from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A component with typed exports.
    Component,
    /// A plain core module whose exports take and return numbers.
    CoreModule,
    /// A `wasi:http` guest, 0.2 or 0.3: takes requests as they come and writes responses itself.
    Http,
    /// A WASI command: standard input to standard output.
    Command,
}

impl Kind {
    /// Whether it takes streams under its URL's prefix, instead of having functions.
    #[must_use]
    pub fn streams(self) -> bool {
        matches!(self, Kind::Http | Kind::Command)
    }

    /// The kind's name in `GET /tasks` and `unblock check`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Component => "component",
            Kind::CoreModule => "core-module",
            Kind::Http => "http",
            Kind::Command => "command",
        }
    }
}

/// Everything one call brings along, whoever asks (HTTP, command line, later a job).
#[derive(Debug, Default)]
pub struct Arguments {
    /// Parameters by name, as text: from the path of a manifest route, then from the query.
    pub pairs: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

impl Arguments {
    /// Bytes that came whole: parameters and body.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let pairs: usize = self.pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let body = match &self.body {
            Body::Empty | Body::Stream(_) => 0,
            Body::Bytes { bytes, .. } => bytes.len(),
            Body::Form(parts) => parts.iter().map(|part| part.name.len() + part.bytes.len()).sum(),
        };
        (pairs + body) as u64
    }
}

/// The body of a call.
#[derive(Debug, Default)]
pub enum Body {
    /// None was sent.
    #[default]
    Empty,
    /// One document; whether it is JSON arguments or raw bytes for the guest depends on the function.
    Bytes {
        /// The media type the caller stated, lower case, with parameters.
        content_type: Option<String>,
        /// The document.
        bytes: Bytes,
    },
    /// The parts of a `multipart/form-data` body (RFC 7578).
    Form(Vec<Part>),
    /// Bytes that still come, for a function that takes its body as a stream.
    Stream(Stream),
}

/// One part of a `multipart/form-data` body.
#[derive(Clone, Debug)]
pub struct Part {
    /// The field's name.
    pub name: String,
    /// Whether the part names a file (curl's `-F name=@file`).
    pub file: bool,
    /// The part's own media type.
    pub content_type: Option<String>,
    /// Its content.
    pub bytes: Bytes,
}

/// How a caller wants a result written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Text as text, bytes as bytes, anything else as JSON.
    #[default]
    Natural,
    /// All of them as JSON.
    Json,
    /// All of them as WAVE, the component model's own text format.
    Wave,
}

/// The result of a call that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The function returns nothing.
    Empty,
    /// A `string`, unquoted.
    Text(String),
    /// A `list<u8>`, as it is.
    Binary(Bytes),
    /// A JSON document.
    Json(Bytes),
    /// A WAVE document.
    Wave(Bytes),
    /// What the guest wrote itself through `unblock:task/body`.
    Raw {
        /// The media type the guest stated.
        content_type: Option<String>,
        /// What it wrote.
        body: Bytes,
    },
}

impl Output {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Empty => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Json(bytes) | Self::Wave(bytes) => bytes.len(),
            Self::Raw { body, .. } => body.len(),
        };
        bytes as u64
    }
}

/// Stage of a call; the same words in errors, headers, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a slot and for the first slice.
    Queue,
    /// Arguments decoded, instance made, start functions run.
    Instantiate,
    /// The guest's function.
    Run,
    /// The result turned into the response's bytes.
    Encode,
}

impl Phase {
    /// The phase's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Queue => "queue",
            Phase::Instantiate => "instantiate",
            Phase::Run => "run",
            Phase::Encode => "encode",
        }
    }
}

/// Where a call's time went. Phases it did not reach are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Before the first slice.
    pub queue: Duration,
    /// See [`Phase::Instantiate`].
    pub instantiate: Duration,
    /// See [`Phase::Run`]; includes the time spent preempted or waiting in host calls.
    pub run: Duration,
    /// See [`Phase::Encode`].
    pub encode: Duration,
    /// CPU time of the worker threads, over all phases after the queue.
    pub cpu: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_path_segments() {
        for good in ["sleep", "a", "7zip", "to-png"] {
            assert!(TaskName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-", "-a", "Sleep", "a_b", "a.b", "a/b", "ä", &"x".repeat(101)] {
            assert!(TaskName::new(bad).is_err(), "{bad}");
        }
    }
}
