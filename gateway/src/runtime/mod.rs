//! The only wasmtime host: turns a module's bytes into a [`Prepared`] task, and runs its functions.
//!
//! A module is judged once, at load: its kind (`detect.rs`), what it imports (`imports.rs`), which
//! of its exports can be called and with which types (`component.rs`, `core_module.rs`), or how it
//! takes streams (`http_guest.rs`, `command.rs`, `stream_call.rs`). What all
//! kinds share stands once: the engine's knobs (`engine.rs`), the store's data and what guests may
//! import (the crate `unblock_host`), the epoch callback (`epoch.rs`), and how an end of any sort
//! becomes an error (`outcome.rs`). This layer knows no server, no files but its own cache (`cache.rs`) and
//! no worker threads; of the pool it sees the handle of one run, which it asks whether to go on, to
//! yield or to stop.

mod arguments;
mod cache;
mod call;
mod command;
mod component;
mod core_module;
mod detect;
mod docs;
pub mod engine;
mod epoch;
mod exchange;
mod grants;
mod http_guest;
mod imports;
mod names;
mod observed;
mod outcome;
mod outgoing;
mod prepare;
mod raw;
mod room;
mod sample;
mod stream_call;

pub use arguments::from_wave;
pub use cache::Compiled;
pub use call::{Done, Start};
pub use exchange::StartExchange;
pub use grants::Granted;
pub use observed::{Observed, Printed};
pub use outcome::{memory_full, stopped};
pub use prepare::{ExtraImports, Runtime};
pub use sample::{Frame, Key, Profiled, Sample, Sampler, Sink, TICK, Whose};
pub use unblock_host::{Charge, Memory};

use crate::error::{Error, Kind as ErrorKind};
use crate::task::Kind;
use crate::values::{Param, Shape};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a manifest adds to what the module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// One paragraph on the task.
    pub description: Option<String>,
    /// By function name.
    pub functions: BTreeMap<String, FunctionNotes>,
}

/// See [`Notes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionNotes {
    /// What the function does; takes precedence over the module's own doc comment.
    pub description: Option<String>,
    /// Names for the parameters of a core module's export, by position; unnamed ones are `0`, `1`, …
    pub params: Vec<String>,
}

/// How a result is written when the caller does not ask for JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is returned.
    Empty,
    /// A `string`: `text/plain`.
    Text,
    /// A `list<u8>`: `application/octet-stream`.
    Binary,
    /// A `stream<u8>`: the same, as the guest writes it.
    Stream,
    /// Anything else: `application/json`.
    Json,
}

/// One callable function of a task.
pub struct Function {
    /// Its name as in URLs: the WIT name, or the export's name of a core module.
    pub name: String,
    /// The interface that exports it (`demo:app/api@1.0.0`); `None` at the root.
    pub interface: Option<String>,
    /// Its doc comment.
    pub description: Option<String>,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// The result's type; for a top-level `result` that of its ok value.
    pub result: Option<Shape>,
    /// `Some` if the function returns a top-level `result`; the inner option is the error's type.
    pub error: Option<Option<Shape>>,
    /// Whether the raw request body goes to the guest (as a `list<u8>` or a `stream<u8>`, or through
    /// `unblock:task/body`); other parameters then come from path and query.
    pub raw_body: bool,
    /// Whether the guest reads the body itself, through `unblock:task/body`.
    pub reads_body: bool,
    /// The parameter that is the request's body as a `stream<u8>`, by position and name. It is not among
    /// [`Function::params`].
    pub body_stream: Option<(usize, String)>,
    /// Whether the guest may write the raw response itself.
    pub raw_answer: bool,
    /// How its result is written.
    pub answer: Answer,
    call: Call,
}

/// How a function is reached inside its module.
enum Call {
    Component(component::Export),
    Core(core_module::Export),
}

/// An export that cannot be called, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The export's name.
    pub name: String,
    /// What stands in the way.
    pub reason: String,
}

/// A loaded module, ready to be run any number of times.
pub struct Prepared {
    /// What it is.
    pub kind: Kind,
    /// The first 16 hexadecimal digits of the SHA-256 of the file's bytes.
    pub digest: Arc<str>,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// What the task does.
    pub description: Option<String>,
    /// What can be called.
    pub functions: Vec<Function>,
    /// What is exported but cannot be called.
    pub hidden: Vec<Hidden>,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// Bytes of linear memory each run starts with.
    pub memory_min: u64,
    /// The digest as a number.
    version: u64,
    module: Module,
    _place: room::Place,
}

/// Bytes that a run is charged beside its memories and tables: stack, store, buffers, values.
const RUN_OVERHEAD_BYTES: u64 = 64 << 10;

impl Prepared {
    /// Bytes that each run is charged before it starts, whatever it asks for later.
    #[must_use]
    pub fn footprint_bytes(&self) -> u64 {
        self.memory_min.saturating_add(RUN_OVERHEAD_BYTES)
    }
}

/// The compiled and linked half of a [`Prepared`].
enum Module {
    Component(component::Linked),
    Core(core_module::Linked),
    Http(http_guest::Linked),
    Command(command::Linked),
}

/// Where a function's arguments come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// All of them by name or position, from path, query and body.
    Arguments,
    /// The body, whatever it is, is the only one.
    Body,
    /// A body that is no JSON is the argument at this index; otherwise as [`Input::Arguments`].
    BodyAs(usize),
    /// The guest reads the body itself; the arguments come from path and query.
    Guest,
}

impl Function {
    /// Where the arguments come from, as `arguments.rs` takes them.
    #[must_use]
    pub fn input(&self) -> Input {
        match &self.call {
            Call::Component(export) if export.takes_bytes() => Input::Body,
            _ if self.guest_reads() => Input::Guest,
            _ => match arguments::bytes_param(self) {
                Some(index) if self.raw_body => Input::BodyAs(index),
                _ => Input::Arguments,
            },
        }
    }

    /// Whether the body is the guest's to read, as it comes or whole.
    #[must_use]
    pub fn guest_reads(&self) -> bool {
        self.reads_body || self.body_stream.is_some()
    }

    /// The name that no other function of the task has: `interface#function`, or the plain name.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The function's type in WIT syntax: `func(seconds: f64) -> result<string, string>`.
    #[must_use]
    pub fn signature(&self) -> String {
        let mut params: Vec<String> =
            self.params.iter().map(|param| format!("{}: {}", param.name, param.shape)).collect();
        if let Some((position, name)) = &self.body_stream {
            params.insert((*position).min(params.len()), format!("{name}: stream<u8>"));
        }
        let mut text = format!("func({})", params.join(", "));
        let result = match self.answer {
            Answer::Stream => Some("stream<u8>".to_owned()),
            _ => self.result.as_ref().map(Shape::to_string),
        };
        match (&result, &self.error) {
            (None, None) => {}
            (Some(ok), None) => text.push_str(&format!(" -> {ok}")),
            (None, Some(None)) => text.push_str(" -> result"),
            (Some(ok), Some(None)) => text.push_str(&format!(" -> result<{ok}>")),
            (None, Some(Some(err))) => text.push_str(&format!(" -> result<_, {err}>")),
            (Some(ok), Some(Some(err))) => text.push_str(&format!(" -> result<{ok}, {err}>")),
        }
        text
    }
}

impl Prepared {
    /// The index in [`Prepared::functions`] of the function a caller means.
    ///
    /// Without a name, the only function. A name is the plain name or, where two interfaces have
    /// functions of one name, the full one.
    ///
    /// # Errors
    /// `unknown-function` with the nearest names, `ambiguous-function` with all of them.
    pub fn find(&self, name: Option<&str>) -> Result<usize, Error> {
        let Some(name) = name else {
            return match self.functions.len() {
                0 => Err(self.streams()),
                1 => Ok(0),
                _ => Err(self.ambiguous("the task has several functions", |_| true)),
            };
        };
        let mut found = self.functions.iter().enumerate().filter(|(_, f)| f.name == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => return Ok(index),
            (Some(_), Some(_)) => {
                return Err(
                    self.ambiguous("several interfaces have a function of this name", |f| f.name == name)
                );
            }
            (None, _) => {}
        }
        if let Some(index) =
            self.functions.iter().position(|f| f.interface.is_some() && f.full_name() == name)
        {
            return Ok(index);
        }
        if let Some(hidden) = self.hidden.iter().find(|hidden| hidden.name == name) {
            return Err(Error::new(
                ErrorKind::UnknownFunction,
                format!("{name:?} is exported but cannot be called: {}", hidden.reason),
            ));
        }
        let known = self.names();
        let mut error = Error::new(ErrorKind::UnknownFunction, String::new());
        if name.len() <= NEAREST_BYTES_MAX && known.len() <= NEAREST_CANDIDATES_MAX {
            error = error.nearest(name, known.iter().cloned());
        }
        let quoted: String = name.chars().take(NEAREST_BYTES_MAX).collect();
        error.detail = format!("found {quoted:?}, expected one of: {}", listed(&known));
        Err(error)
    }

    fn streams(&self) -> Error {
        Error::new(
            ErrorKind::UnknownFunction,
            format!("a task of kind {} has no functions: it takes requests as they come", self.kind.as_str()),
        )
    }

    /// For each function the shortest name that no other has.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shortest_names(|_| true)
    }

    /// The plain names of some functions, or the full ones where two interfaces share a name.
    fn shortest_names(&self, which: impl Fn(&Function) -> bool) -> Vec<String> {
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for function in &self.functions {
            *uses.entry(&function.name).or_default() += 1;
        }
        let twice = |function: &Function| uses.get(function.name.as_str()).is_some_and(|uses| *uses > 1);
        let name = |f: &Function| if twice(f) { f.full_name() } else { f.name.clone() };
        self.functions.iter().filter(|f| which(f)).map(name).collect()
    }

    fn ambiguous(&self, why: &str, which: impl Fn(&Function) -> bool) -> Error {
        let names = self.shortest_names(which);
        Error::new(ErrorKind::AmbiguousFunction, format!("{why}; name one of: {}", listed(&names)))
    }
}

/// Names an error lists; a module may export any number.
const NAMES_SHOWN_MAX: usize = 20;

/// Longest unknown name that is compared with the known ones, in bytes: the comparison is quadratic.
const NEAREST_BYTES_MAX: usize = 64;

/// Most known names that an unknown one is compared with.
const NEAREST_CANDIDATES_MAX: usize = 1_000;

fn listed(names: &[String]) -> String {
    let shown = names.get(..NAMES_SHOWN_MAX).unwrap_or(names).join(", ");
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
