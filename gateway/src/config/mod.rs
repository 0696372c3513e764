//! Flags and environment → the settings of every layer; all mistakes told at once.
//!
//! The command line hands over texts as they were written (`flags.rs`). Each is read here, with its flag
//! named in the message, and nothing is bound, created or started before all of them are right. Knows how to
//! read values, not how things run.

mod callers;
mod flags;
mod machine;
mod reader;
mod traces;

pub use flags::Flags;

use crate::observe::LogCalls;
use crate::runtime::engine;
use crate::telemetry::LogFormat;
use crate::{http, observe, registry, tls};
use reader::Reader;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Most records of a task's calls: 200 bytes each, looked through one by one.
const RECORDS_MAX: usize = 10_000;

/// Most samples per second: a hundredth of a core's time on the largest machines.
const SAMPLES_MAX: usize = 10_000;

/// Most lines about good calls a second: whoever wants more wants all.
const LOG_RATE_MAX: u32 = 1_000_000;

/// Everything the server needs, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The file of tokens; without one everybody may call.
    pub tokens: Option<PathBuf>,
    /// Certificate and key; without them HTTP is served in clear.
    pub tls: Option<tls::Files>,
    /// How long runs get to end at shutdown.
    pub grace: Duration,
    /// Worker threads.
    pub workers: NonZeroUsize,
    /// HTTP threads.
    pub http_threads: NonZeroUsize,
    /// Niceness of the workers.
    pub nice: i32,
    /// Bytes that all calls together may hold: guests, bodies and results.
    pub memory_bytes: u64,
    /// The engine's settings.
    pub engine: engine::Settings,
    /// The registry's settings.
    pub registry: registry::Settings,
    /// The edge's settings.
    pub http: http::Settings,
    /// What is kept of calls.
    pub observe: observe::Settings,
    /// Where traces go, if anywhere.
    pub traces: Option<crate::traces::Settings>,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Filter of log lines.
    pub log: String,
}

/// Every mistake found, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "{count} mistake{} in the configuration:", if count == 1 { "" } else { "s" })?;
        for mistake in &self.0 {
            writeln!(f, "  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Reads all flags.
    ///
    /// # Errors
    /// Every mistake with its flag, what was found, what was expected and what to do.
    pub fn read(flags: &Flags) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        let listen =
            reader.read("listen", SocketAddr::from(([127, 0, 0, 1], 8888)), callers::address(&flags.listen));
        reader.read("listen", (), callers::check_public(listen, flags));
        let (tokens, tls) = (callers::tokens(flags, &mut reader), callers::tls_files(flags, &mut reader));
        let http = callers::http_settings(flags, &mut reader);
        let grace = reader.time("grace", &flags.grace);
        let workers = reader.threads("workers", flags.workers.as_deref());
        let http_threads = reader.threads("http-threads", flags.http_threads.as_deref());
        let nice = i32::try_from(reader.count("nice", &flags.nice, 0..=19)).unwrap_or(0);
        let tasks = reader.read("tasks", PathBuf::new(), machine::folder(&flags.tasks));
        let engine = machine::engine_settings(flags, registry::count_modules(&tasks), &mut reader);
        let memory_bytes = machine::memory_bytes(flags, &engine, &mut reader);
        let (defaults, ceilings) =
            (machine::default_limits(flags, &mut reader), machine::ceilings(flags, &mut reader));
        reader.mistakes.extend(defaults.over(&ceilings));
        let registry = registry::Settings {
            tasks,
            defaults,
            ceilings,
            poll: reader.time("poll", &flags.poll),
            module_bytes_max: reader.size("max-module", &flags.max_module),
            variable: |name| std::env::var(name).ok(),
            ..registry::Settings::default()
        };
        let log_format = reader.read(
            "log-format",
            LogFormat::Text,
            match flags.log_format.as_str() {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                other => Err(format!("found {other:?}, expected text or json")),
            },
        );
        let observe = observe::Settings {
            records: reader.count("records", &flags.records, 0..=RECORDS_MAX),
            histograms: reader.read(
                "metrics",
                true,
                match flags.metrics.as_str() {
                    "on" => Ok(true),
                    "off" => Ok(false),
                    other => Err(format!("found {other:?}, expected on or off")),
                },
            ),
            samples_per_second: u32::try_from(reader.count(
                "profile-rate",
                &flags.profile_rate,
                0..=SAMPLES_MAX,
            ))
            .unwrap_or(0),
            log_calls: reader.read("log-calls", LogCalls::default(), log_calls(&flags.log_calls)),
            ..observe::Settings::default()
        };
        let traces = reader.traces(flags.traces.as_deref(), |name| std::env::var(name).ok());
        if !reader.mistakes.is_empty() {
            return Err(Mistakes(reader.mistakes));
        }
        Ok(Self {
            listen,
            tokens,
            tls,
            grace,
            workers,
            http_threads,
            nice,
            memory_bytes,
            engine,
            registry,
            http,
            observe,
            traces,
            log_format,
            log: flags.log.clone(),
        })
    }
}

fn log_calls(text: &str) -> Result<LogCalls, String> {
    let rate =
        |text: &str| text.strip_suffix("/s")?.parse::<u32>().ok().filter(|count| *count <= LOG_RATE_MAX);
    match text {
        "all" => Ok(LogCalls::All),
        "failures" => Ok(LogCalls::Failures(0)),
        "off" => Ok(LogCalls::Off),
        other => rate(other).map(LogCalls::Failures).ok_or_else(|| {
            format!("found {other:?}, expected all, failures, off, or failures and so many others a second, such as \"10/s\"")
        }),
    }
}
