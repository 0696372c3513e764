//! The gateway's figures as metrics, for Prometheus and whatever else scrapes.
//!
//! All of them are read when somebody asks: nothing is looked up, locked or formatted here while a call
//! runs. Owns the metrics' names, labels and help texts; `docs/metrics.md` lists them, and a test holds
//! both together. The number of series is bounded by that of the tasks that were called.
//!
//! | file | owns |
//! |---|---|
//! | `families.rs` | how a metric is written down |
//! | `calls.rs` | what is counted by task |
//! | `state.rs` | the pool, memory, loading, HTTP |
//! | `process.rs` | the process as its kernel sees it |

mod calls;
mod families;
mod process;
mod state;

use crate::observe::{Answered, Observer};
use crate::registry::{Loads, Snapshot};
use crate::runtime::Compiled;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use std::fmt;
use unblock_pool::Stats;

/// What every name begins with, but for those of the process.
const PREFIX: &str = "unblock";

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.0, which Prometheus prefers.
    OpenMetrics,
    /// The text format of Prometheus before that, which everything reads (`promtool` among them).
    Prometheus,
}

impl Form {
    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Where the figures come from.
pub struct Sources<'a> {
    /// The tasks.
    pub snapshot: &'a Snapshot,
    /// What became of modules.
    pub loads: Loads,
    /// What was compiled.
    pub compiled: Compiled,
    /// The calls.
    pub observer: &'a Observer,
    /// The pool.
    pub pool: Stats,
    /// Bytes that calls hold, and may hold.
    pub memory_bytes: (u64, u64),
    /// What HTTP answered.
    pub answered: Answered,
    /// Connections at once.
    pub connections_max: usize,
    /// Whether the first scan of the folder is over.
    pub ready: bool,
    /// Whether the gateway is on its way out.
    pub draining: bool,
}

/// The figures of a moment, not yet written down.
pub struct Figures(Vec<Registry>);

impl Figures {
    /// Reads all of them. Takes microseconds for each task that was called.
    #[must_use]
    pub fn read(sources: Sources<'_>) -> Self {
        let calls = calls::Calls::read(sources.snapshot, sources.observer);
        let own = |collector: Box<dyn Collector>| {
            let mut registry = Registry::with_prefix(PREFIX);
            registry.register_collector(collector);
            registry
        };
        let mut registries = vec![own(Box::new(state::State::read(sources)))];
        registries.extend(calls.split().into_iter().map(|part| own(Box::new(part))));
        if let Some(process) = process::Process::read() {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(process));
            registries.push(registry);
        }
        Self(registries)
    }

    /// Writes them part by part, so that whoever does so on a thread that others need may let them go first
    /// in between.
    ///
    /// # Errors
    /// None that a text in memory has.
    pub fn write(&self, form: Form) -> impl Iterator<Item = Result<String, fmt::Error>> + Send {
        let parts = self.0.iter().map(move |registry| {
            let mut part = String::new();
            match form {
                Form::OpenMetrics => text::encode_registry(&mut part, registry)?,
                Form::Prometheus => prometheus_text::encode(&mut part, registry)?,
            }
            Ok(part)
        });
        let end = (form == Form::OpenMetrics).then(|| {
            let mut end = String::new();
            text::encode_eof(&mut end).map(|()| end)
        });
        parts.chain(end)
    }
}
