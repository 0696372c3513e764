//! The log: who may write to it, in which form, under which field names.
//!
//! Lines go to standard error: text for people, JSON for machines. They are written by a thread of their own
//! from a bounded queue, so that whoever reads standard error slowly, or not at all, holds nobody up; lines
//! that find no room are lost, counted and told. Fields are dotted names with the unit last (`call.id`,
//! `task.name`, `elapsed_ms`), listed in `docs/logging.md`; arguments and results are never logged; the
//! cause of a failed run may quote a few words of its guest. Knows no layer above it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The target of the lines that auditors look for: who changed what is served. They are written whatever the
/// filter says, unless it names them.
pub const AUDIT: &str = "audit";

/// Default filter: our own lines from `info` on, with those about calls and of guests; everybody else's
/// warnings, except of the crates that warn of what guests and their servers do wrong, which they decide how
/// often they do: `wasmtime_wasi` and, since targets match by their beginning, `wasmtime_wasi_http`.
const FILTER_DEFAULT: &str = "warn,gateway=info,call=info,guest=info,wasmtime_wasi=error";

/// Lines that wait to be written: a few MiB.
const LINES_MAX: usize = 8_192;

/// How long lost lines are counted before they are told.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// What keeps the writing thread alive; taken, it writes what waits and ends.
static WRITING: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Installs the subscriber, unless there is one already. `filter` is an `EnvFilter` directive;
/// `colours` colours text lines.
///
/// # Errors
/// The filter cannot be parsed.
pub fn install(format: LogFormat, filter: Option<&str>, colours: bool) -> Result<(), String> {
    let filter = filter.filter(|filter| !filter.is_empty()).unwrap_or(FILTER_DEFAULT);
    let audit = if filter.contains(AUDIT) { String::new() } else { format!(",{AUDIT}=info") };
    let filter = EnvFilter::try_new(format!("{filter}{audit}")).map_err(|error| {
        format!("found {filter:?}, expected a filter such as \"info\" or \"warn,gateway=debug\": {error}")
    })?;
    let (lines, writing) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).thread_name("log").finish(io::stderr());
    // A line that cannot be written is lost. Told of it, as is the default, `eprintln!` would panic: a
    // full disk would end the gateway.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lossy { lost: Lost::new(lines.error_counter()), lines })
        .log_internal_errors(false);
    // Another subscriber stays: tests start several servers in one process.
    let installed = match format {
        LogFormat::Text => builder.with_ansi(colours).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    };
    if installed.is_ok() {
        *WRITING.lock().unwrap_or_else(PoisonError::into_inner) = Some(writing);
    }
    Ok(())
}

/// Writes what waits, for about a second at most. To be called at the end of the process: later lines are
/// lost.
pub fn flush() {
    drop(WRITING.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// The queue's way in.
struct Lossy {
    lines: NonBlocking,
    lost: Arc<Lost>,
}

impl<'a> MakeWriter<'a> for Lossy {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self.lines.clone(), lost: &self.lost }
    }
}

/// One line on its way in.
struct Line<'a> {
    lines: NonBlocking,
    lost: &'a Arc<Lost>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.lines.write(bytes);
        self.lost.notice();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells of lost lines, a while after the first.
struct Lost {
    counter: ErrorCounter,
    /// How many were told of.
    told: Mutex<usize>,
    /// Somebody is about to.
    telling: AtomicBool,
}

impl Lost {
    fn new(counter: ErrorCounter) -> Arc<Self> {
        Arc::new(Self { counter, told: Mutex::new(0), telling: AtomicBool::new(false) })
    }

    fn notice(self: &Arc<Self>) {
        let told = || *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock is for the rare case alone.
        if self.counter.dropped_lines() == 0
            || self.telling.load(Ordering::Relaxed)
            || self.counter.dropped_lines() == told()
            || self.telling.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let lost = Arc::clone(self);
        let told = std::thread::Builder::new().name("log-lost".to_owned()).spawn(move || {
            std::thread::sleep(TELL_AFTER);
            lost.tell();
        });
        if told.is_err() {
            self.telling.store(false, Ordering::Relaxed);
        }
    }

    fn tell(&self) {
        let lines = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let lost = self.counter.dropped_lines();
            lost - std::mem::replace(&mut *told, lost)
        };
        // Before the line: it may be lost itself, and somebody has to tell of that.
        self.telling.store(false, Ordering::Relaxed);
        tracing::warn!(
            left_out.lines = lines,
            "{lines} lines of the log were lost: standard error takes them too slowly"
        );
    }
}
