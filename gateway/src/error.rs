//! What can go wrong with a call, who is to blame, and what to do next.
//!
//! Every failure carries two texts: `detail`, safe for the caller, and `cause`, the full chain for
//! one log line at the boundary. The kinds are a closed list; `http/error.rs` gives each its
//! status, and nothing below `http/` knows statuses. No framework is known here.

use crate::task::Phase;
use std::fmt;
use std::time::Duration;

/// The kind of a problem; its name is the last segment of the problem's `type` (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A parameter is missing, unknown, of the wrong type or out of range.
    BadArguments,
    /// The body is not JSON.
    BadJson,
    /// The task has several functions and the URL names none.
    AmbiguousFunction,
    /// No task of that name is loaded.
    UnknownTask,
    /// The task has no such function.
    UnknownFunction,
    /// Nothing is served under that path.
    UnknownPath,
    /// No call of that id is in flight or remembered.
    UnknownCall,
    /// The path is served, but not with that method.
    MethodNotAllowed,
    /// No token was shown, or one that is not known.
    Unauthorized,
    /// The token does not allow this.
    Forbidden,
    /// None of the accepted media types can be produced.
    NotAcceptable,
    /// The client was too slow in sending its request.
    RequestTimeout,
    /// What is to be changed is not what the client took it for.
    PreconditionFailed,
    /// The request body is over the task's `input` limit.
    InputTooLarge,
    /// The body's media type cannot carry arguments.
    UnsupportedMediaType,
    /// The request's header is over the server's bound.
    HeadersTooLarge,
    /// The client asks more often than it may.
    RateLimited,
    /// The module or manifest to be put cannot be served.
    RefusedModule,
    /// The guest returned `err`.
    TaskError,
    /// The guest hit a trap: unreachable code, out of bounds, division by zero, a panic.
    Trap,
    /// The guest asked for more memory than its limit and then failed.
    MemoryExceeded,
    /// The guest's call stack is exhausted.
    StackOverflow,
    /// The result is over the task's `output` limit.
    OutputTooLarge,
    /// The guest needs something it was not granted.
    MissingGrant,
    /// The guest returned what cannot be passed on.
    BadResponse,
    /// The module is there but could not be loaded.
    BadModule,
    /// Too many calls wait, or this one waited too long.
    QueueFull,
    /// The machine's budget for runs is used up.
    MemoryFull,
    /// The task's module is there and is being compiled.
    Loading,
    /// The gateway is shutting down.
    Draining,
    /// The wall budget passed.
    DeadlineExceeded,
    /// The CPU budget passed.
    CpuExceeded,
    /// The caller went away; nobody reads this.
    Cancelled,
    /// A fault of the gateway itself.
    Internal,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request is wrong.
    Caller,
    /// The task misbehaved.
    Task,
    /// The gateway is at fault or overloaded.
    Gateway,
}

impl Kind {
    /// Every kind, for documentation and tests.
    pub const ALL: [Kind; 34] = [
        Kind::BadArguments,
        Kind::BadJson,
        Kind::AmbiguousFunction,
        Kind::UnknownTask,
        Kind::UnknownFunction,
        Kind::UnknownPath,
        Kind::UnknownCall,
        Kind::MethodNotAllowed,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::NotAcceptable,
        Kind::RequestTimeout,
        Kind::PreconditionFailed,
        Kind::InputTooLarge,
        Kind::UnsupportedMediaType,
        Kind::HeadersTooLarge,
        Kind::RateLimited,
        Kind::RefusedModule,
        Kind::TaskError,
        Kind::Trap,
        Kind::MemoryExceeded,
        Kind::StackOverflow,
        Kind::OutputTooLarge,
        Kind::MissingGrant,
        Kind::BadResponse,
        Kind::BadModule,
        Kind::QueueFull,
        Kind::MemoryFull,
        Kind::Loading,
        Kind::Draining,
        Kind::DeadlineExceeded,
        Kind::CpuExceeded,
        Kind::Cancelled,
        Kind::Internal,
    ];

    /// The kind's name: in the problem's `type`, in logs, in metrics.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Kind::BadArguments => "bad-arguments",
            Kind::BadJson => "bad-json",
            Kind::AmbiguousFunction => "ambiguous-function",
            Kind::UnknownTask => "unknown-task",
            Kind::UnknownFunction => "unknown-function",
            Kind::UnknownPath => "unknown-path",
            Kind::UnknownCall => "unknown-call",
            Kind::MethodNotAllowed => "method-not-allowed",
            Kind::Unauthorized => "unauthorized",
            Kind::Forbidden => "forbidden",
            Kind::NotAcceptable => "not-acceptable",
            Kind::RequestTimeout => "request-timeout",
            Kind::PreconditionFailed => "precondition-failed",
            Kind::InputTooLarge => "input-too-large",
            Kind::UnsupportedMediaType => "unsupported-media-type",
            Kind::HeadersTooLarge => "headers-too-large",
            Kind::RateLimited => "rate-limited",
            Kind::RefusedModule => "refused-module",
            Kind::TaskError => "task-error",
            Kind::Trap => "trap",
            Kind::MemoryExceeded => "memory-exceeded",
            Kind::StackOverflow => "stack-overflow",
            Kind::OutputTooLarge => "output-too-large",
            Kind::MissingGrant => "missing-grant",
            Kind::BadResponse => "bad-response",
            Kind::BadModule => "bad-module",
            Kind::QueueFull => "queue-full",
            Kind::MemoryFull => "memory-full",
            Kind::Loading => "loading",
            Kind::Draining => "draining",
            Kind::DeadlineExceeded => "deadline-exceeded",
            Kind::CpuExceeded => "cpu-exceeded",
            Kind::Cancelled => "cancelled",
            Kind::Internal => "internal",
        }
    }

    /// The problem's `title`: the same sentence for every problem of the kind.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Kind::BadArguments => "The arguments do not fit the function",
            Kind::BadJson => "The body is not JSON",
            Kind::AmbiguousFunction => "The task has several functions; name one",
            Kind::UnknownTask => "No such task",
            Kind::UnknownFunction => "The task has no such function",
            Kind::UnknownPath => "Nothing is served here",
            Kind::UnknownCall => "There is no such call",
            Kind::MethodNotAllowed => "The method is not served here",
            Kind::Unauthorized => "A token is needed",
            Kind::Forbidden => "This is not allowed",
            Kind::NotAcceptable => "None of the accepted media types can be produced",
            Kind::RequestTimeout => "The request was sent too slowly",
            Kind::PreconditionFailed => "The task is not what the request took it for",
            Kind::InputTooLarge => "The request body is too large",
            Kind::UnsupportedMediaType => "The body's media type cannot carry arguments",
            Kind::HeadersTooLarge => "The request header is too large",
            Kind::RateLimited => "Too many requests",
            Kind::RefusedModule => "The module or manifest cannot be served",
            Kind::TaskError => "The task returned an error",
            Kind::Trap => "The task crashed",
            Kind::MemoryExceeded => "The task ran out of memory",
            Kind::StackOverflow => "The task's call stack is exhausted",
            Kind::OutputTooLarge => "The task's result is too large",
            Kind::MissingGrant => "The task needs what it was not granted",
            Kind::BadResponse => "The task's answer cannot be passed on",
            Kind::BadModule => "The task's module could not be loaded",
            Kind::QueueFull => "Too many calls are waiting",
            Kind::MemoryFull => "No room for another run",
            Kind::Loading => "The task is still being loaded",
            Kind::Draining => "The gateway is shutting down",
            Kind::DeadlineExceeded => "The task took too long",
            Kind::CpuExceeded => "The task used too much CPU time",
            Kind::Cancelled => "The call was cancelled",
            Kind::Internal => "The gateway failed",
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn blame(self) -> Blame {
        match self {
            Kind::BadArguments
            | Kind::BadJson
            | Kind::AmbiguousFunction
            | Kind::UnknownTask
            | Kind::UnknownFunction
            | Kind::UnknownPath
            | Kind::UnknownCall
            | Kind::MethodNotAllowed
            | Kind::Unauthorized
            | Kind::Forbidden
            | Kind::NotAcceptable
            | Kind::RequestTimeout
            | Kind::PreconditionFailed
            | Kind::RateLimited
            | Kind::RefusedModule
            | Kind::InputTooLarge
            | Kind::UnsupportedMediaType
            | Kind::HeadersTooLarge
            | Kind::Cancelled => Blame::Caller,
            Kind::TaskError
            | Kind::Trap
            | Kind::MemoryExceeded
            | Kind::StackOverflow
            | Kind::OutputTooLarge
            | Kind::MissingGrant
            | Kind::BadResponse
            | Kind::BadModule
            | Kind::DeadlineExceeded
            | Kind::CpuExceeded => Blame::Task,
            Kind::QueueFull | Kind::MemoryFull | Kind::Loading | Kind::Draining | Kind::Internal => {
                Blame::Gateway
            }
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn retry(self) -> bool {
        matches!(
            self,
            Kind::QueueFull
                | Kind::MemoryFull
                | Kind::Loading
                | Kind::Draining
                | Kind::RequestTimeout
                | Kind::RateLimited
        )
    }
}

/// A failed call. Built with [`Error::new`] and the `with`-style setters; the fields that apply
/// become members of the problem document.
pub struct Error(Box<Fields>);

/// The fields of an [`Error`].
#[derive(Debug)]
pub struct Fields {
    /// The kind.
    pub kind: Kind,
    /// What was found, what was expected and what to do; safe for the caller.
    pub detail: String,
    /// The full chain, for the log only.
    pub cause: Option<anyhow::Error>,
    /// The stage the call had reached.
    pub phase: Option<Phase>,
    /// The limit that was hit: its name as in the manifest, and its value with the unit.
    pub limit: Option<(&'static str, String)>,
    /// JSON pointer (RFC 6901) to the bad argument.
    pub pointer: Option<String>,
    /// What was expected there.
    pub expected: Option<String>,
    /// Names that the caller may have meant, nearest first.
    pub nearest: Vec<String>,
    /// The guest's frames, innermost first.
    pub backtrace: Vec<String>,
    /// The last lines the guest wrote to its standard error.
    pub stderr: Option<String>,
    /// What the run was refused, and what to write into the manifest to grant it.
    pub hints: Vec<String>,
    /// The error value the guest returned, as a JSON document.
    pub value: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The methods that are served, for the `Allow` header.
    pub allow: Option<String>,
    /// How to show who asks, for the `WWW-Authenticate` header.
    pub challenge: Option<String>,
    /// The line of the call that failed tells of it; the log needs no other.
    pub told: bool,
}

impl Error {
    /// A failure of `kind` with a text for the caller.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            kind,
            detail: detail.into(),
            cause: None,
            phase: None,
            limit: None,
            pointer: None,
            expected: None,
            nearest: Vec::new(),
            backtrace: Vec::new(),
            stderr: None,
            hints: Vec::new(),
            value: None,
            retry_after: None,
            allow: None,
            challenge: None,
            told: false,
        }))
    }

    /// A fault of our own: the caller learns nothing but the call id, the log gets the cause.
    #[must_use]
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let mut error =
            Self::new(Kind::Internal, "a fault of the gateway; its log names the cause under this call id");
        error.0.cause = Some(cause.into());
        error
    }

    /// Sets the stage, unless a deeper layer already did.
    #[must_use]
    pub fn at(mut self, phase: Phase) -> Self {
        self.0.phase.get_or_insert(phase);
        self
    }

    /// Names the limit that was hit.
    #[must_use]
    pub fn limit(mut self, name: &'static str, value: String) -> Self {
        self.0.limit = Some((name, value));
        self
    }

    /// Adds the chain for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Names what the caller may have meant.
    #[must_use]
    pub fn nearest(mut self, wanted: &str, known: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.nearest = nearest(wanted, known);
        self
    }
}

impl std::ops::Deref for Error {
    type Target = Fields;
    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl std::ops::DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Fields {
        &mut self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.slug(), self.0.detail)
    }
}

impl std::error::Error for Error {}

/// How many names an "unknown" problem suggests.
const NEAREST_MAX: usize = 3;

/// Least Jaro–Winkler similarity of a suggestion: below it a name is a guess, not a typing error.
const SIMILARITY_MIN: f64 = 0.7;

/// The `known` names most like `wanted`, best first.
pub fn nearest(wanted: &str, known: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = known
        .into_iter()
        .map(Into::into)
        .map(|name| (strsim::jaro_winkler(wanted, &name), name))
        .filter(|(score, _)| *score >= SIMILARITY_MIN)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.truncate(NEAREST_MAX);
    scored.into_iter().map(|(_, name)| name).collect()
}

/// Why a module cannot be served. Shown in `GET /tasks` and by `unblock check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// What was found and what was expected.
    pub reason: String,
    /// What would help, one line each.
    pub remedies: Vec<String>,
}

impl LoadError {
    /// A reason with one remedy.
    #[must_use]
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedies: vec![remedy.into()] }
    }

    /// The same, cut to what a person reads: a module may have any number of names of any length.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let texts = std::iter::once(&mut self.reason).chain(&mut self.remedies);
        for text in texts.filter(|text| text.len() > LOAD_TEXT_BYTES_MAX) {
            text.truncate(text.floor_char_boundary(LOAD_TEXT_BYTES_MAX));
            text.push('…');
        }
        self
    }
}

/// Bytes of a reason or remedy that come from a module.
const LOAD_TEXT_BYTES_MAX: usize = 4 << 10;

impl fmt::Display for LoadError {
    /// Every line but the first is indented: names come from the module, and one with a line break in it
    /// must not pass for a line of the log's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indented = |text: &str| text.split(['\n', '\r']).collect::<Vec<_>>().join("\n  ");
        f.write_str(&indented(&self.reason))?;
        for remedy in &self.remedies {
            write!(f, "\n  {}", indented(remedy))?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_under_its_own_name() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn a_name_with_line_breaks_in_it_makes_no_line_of_its_own() {
        let error = LoadError::new("imports env.x\nERROR forged\r\nERROR", "env.x\nERROR: help");
        let told = error.to_string();
        assert_eq!(told.lines().filter(|line| !line.starts_with("  ")).count(), 1, "{told}");
        assert!(!told.contains('\r'), "{told:?}");
    }

    #[test]
    fn suggestions_are_near_and_few() {
        let known = ["sleep", "password", "render", "primes", "thumbnail"];
        assert_eq!(nearest("slep", known), ["sleep"]);
        assert_eq!(nearest("passwd", known), ["password"]);
        assert!(nearest("zzz", known).is_empty());
    }
}
