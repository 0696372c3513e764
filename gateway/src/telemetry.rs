//! The log: who may write to it, in which form, under which field names.
//!
//! Lines go to standard error: text for people, JSON for machines. Fields are dotted names with the
//! unit last (`call.id`, `task.name`, `elapsed_ms`); arguments and results are never logged;
//! the cause of a failed run may quote a few words of its guest. Knows no layer above it.

use tracing_subscriber::EnvFilter;

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

/// Default filter: our own lines from `info` on, everybody else's warnings, except of the crates that
/// warn of what guests and their servers do wrong, which they decide how often they do: `wasmtime_wasi`
/// and, since targets match by their beginning, `wasmtime_wasi_http`.
const FILTER_DEFAULT: &str = "warn,gateway=info,wasmtime_wasi=error";

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
    // A line that cannot be written is lost. Told of it, as is the default, `eprintln!` would panic: a
    // full disk would end the gateway.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // Another subscriber stays: tests start several servers in one process.
    let _already = match format {
        LogFormat::Text => builder.with_ansi(colours).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    };
    Ok(())
}
