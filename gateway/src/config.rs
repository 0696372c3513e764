//! Flags and environment → the settings of every layer; all mistakes told at once.
//!
//! `cli.rs` hands over texts as they were written. Each is read here, with its flag named in the
//! message, and nothing is bound, created or started before all of them are right. Knows how to
//! read values, not how things run.

use crate::access::Tokens;
use crate::limits::{self, Ceilings, Limits, MIB, WEIGHT_MAX};
use crate::runtime::engine::{self, Runs};
use crate::telemetry::LogFormat;
use crate::{http, observe, registry, tls};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line and the environment say, as texts; `None` means the default.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Folder of task modules.
    #[arg(long, env = "UNBLOCK_TASKS", value_name = "DIR", default_value = "tasks", help_heading = "Server")]
    pub tasks: String,
    /// Calls of each task of which a record is kept.
    #[arg(long, env = "UNBLOCK_RECORDS", value_name = "N", default_value = "100", help_heading = "Server")]
    pub records: String,
    /// Whether the phases of calls are counted for /metrics: on or off.
    #[arg(
        long,
        env = "UNBLOCK_METRICS",
        value_name = "SWITCH",
        default_value = "on",
        help_heading = "Server"
    )]
    pub metrics: String,
    /// Address and port to listen on.
    #[arg(
        long,
        env = "UNBLOCK_LISTEN",
        value_name = "ADDR:PORT",
        default_value = LOOPBACK,
        help_heading = "Server"
    )]
    pub listen: String,
    /// Time that runs get to end after SIGTERM or SIGINT.
    #[arg(long, env = "UNBLOCK_GRACE", value_name = "TIME", default_value = "30s", help_heading = "Server")]
    pub grace: String,
    /// Log lines as text or json.
    #[arg(
        long,
        env = "UNBLOCK_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Server"
    )]
    pub log_format: String,
    /// What is logged, e.g. "info" or "warn,gateway=debug".
    #[arg(
        long,
        env = "UNBLOCK_LOG",
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true,
        help_heading = "Server"
    )]
    pub log: String,
    /// File of tokens, see `unblock token`: with it every caller needs one.
    #[arg(long, env = "UNBLOCK_TOKENS", value_name = "FILE", help_heading = "Access")]
    pub tokens: Option<String>,
    /// Serve whoever reaches the address, which may be public, without tokens.
    #[arg(long, env = "UNBLOCK_ALLOW_ANONYMOUS", help_heading = "Access")]
    pub allow_anonymous: bool,
    /// Certificate in PEM, with those that lead to its root: serve HTTPS, HTTP/2 included.
    #[arg(long, env = "UNBLOCK_TLS_CERT", value_name = "FILE", help_heading = "Access")]
    pub tls_cert: Option<String>,
    /// The certificate's private key in PEM.
    #[arg(long, env = "UNBLOCK_TLS_KEY", value_name = "FILE", help_heading = "Access")]
    pub tls_key: Option<String>,
    /// Requests that each client may send, such as "50/s" or "600/m" [default: any number].
    #[arg(long, env = "UNBLOCK_RATE_LIMIT", value_name = "N/TIME", help_heading = "Access")]
    pub rate_limit: Option<String>,
    /// Requests that a client may send at once before --rate-limit counts [default: its number].
    #[arg(long, env = "UNBLOCK_RATE_BURST", value_name = "N", help_heading = "Access")]
    pub rate_burst: Option<String>,
    /// Largest module, in the folder or put over HTTP.
    #[arg(
        long,
        env = "UNBLOCK_MAX_MODULE",
        value_name = "SIZE",
        default_value = "256MiB",
        help_heading = "Access"
    )]
    pub max_module: String,
    /// Connections at once; more wait in the kernel [default: three quarters of the open files allowed].
    #[arg(long, env = "UNBLOCK_MAX_CONNECTIONS", value_name = "N", help_heading = "Clients")]
    pub max_connections: Option<String>,
    /// Time for a request's header, a TLS handshake, and the pause between two requests.
    #[arg(
        long,
        env = "UNBLOCK_HEADER_TIMEOUT",
        value_name = "TIME",
        default_value = "10s",
        help_heading = "Clients"
    )]
    pub header_timeout: String,
    /// Time for each 64 KiB of a body, or for its next piece where it flows.
    #[arg(
        long,
        env = "UNBLOCK_BODY_TIMEOUT",
        value_name = "TIME",
        default_value = "30s",
        help_heading = "Clients"
    )]
    pub body_timeout: String,
    /// Time that a client may take nothing of a response that waits for it.
    #[arg(
        long,
        env = "UNBLOCK_WRITE_TIMEOUT",
        value_name = "TIME",
        default_value = "1m",
        help_heading = "Clients"
    )]
    pub write_timeout: String,
    /// Threads that run guests [default: number of cores].
    #[arg(long, env = "UNBLOCK_WORKERS", value_name = "N", help_heading = "Machine")]
    pub workers: Option<String>,
    /// Threads that serve HTTP [default: number of cores].
    #[arg(long, env = "UNBLOCK_HTTP_THREADS", value_name = "N", help_heading = "Machine")]
    pub http_threads: Option<String>,
    /// Niceness of the worker threads, 0 to 19, so that HTTP comes first.
    #[arg(long, env = "UNBLOCK_NICE", value_name = "N", default_value = "1", help_heading = "Machine")]
    pub nice: String,
    /// Runs in flight at most [default: from vm.max_map_count and memory].
    #[arg(long, env = "UNBLOCK_MAX_RUNS", value_name = "N", help_heading = "Machine")]
    pub max_runs: Option<String>,
    /// Memory of all calls together: guests, bodies and results [default: seven eighths of the machine's].
    #[arg(long, env = "UNBLOCK_MEMORY_BUDGET", value_name = "SIZE", help_heading = "Machine")]
    pub memory_budget: Option<String>,
    /// Wasm stack of a run.
    #[arg(
        long,
        env = "UNBLOCK_STACK",
        value_name = "SIZE",
        default_value = "1MiB",
        help_heading = "Machine"
    )]
    pub stack: String,
    /// Folder for compiled code, or "off" [default: unblock in the user's cache folder].
    #[arg(long, env = "UNBLOCK_CACHE", value_name = "DIR", help_heading = "Machine")]
    pub cache: Option<String>,
    /// Compiled code that is kept; the least used goes first.
    #[arg(
        long,
        env = "UNBLOCK_CACHE_SIZE",
        value_name = "SIZE",
        default_value = "4GiB",
        help_heading = "Machine"
    )]
    pub cache_size: String,
    /// Threads that compile.
    #[arg(
        long,
        env = "UNBLOCK_COMPILE_THREADS",
        value_name = "N",
        default_value = "1",
        help_heading = "Machine"
    )]
    pub compile_threads: String,
    /// How often the tasks folder is looked at where file events are not delivered.
    #[arg(long, env = "UNBLOCK_POLL", value_name = "TIME", default_value = "1s", help_heading = "Machine")]
    pub poll: String,
    /// Default wall time of a call, host waits included.
    #[arg(
        long,
        env = "UNBLOCK_WALL",
        value_name = "TIME",
        default_value = "30s",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub wall: String,
    /// Default CPU time of a call.
    #[arg(
        long,
        env = "UNBLOCK_CPU",
        value_name = "TIME",
        default_value = "10s",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub cpu: String,
    /// Default memory of a run: all linear memories and tables.
    #[arg(
        long,
        env = "UNBLOCK_MEMORY",
        value_name = "SIZE",
        default_value = "128MiB",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub memory: String,
    /// Default size of a request body.
    #[arg(
        long,
        env = "UNBLOCK_INPUT",
        value_name = "SIZE",
        default_value = "16MiB",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub input: String,
    /// Default size of a response body.
    #[arg(
        long,
        env = "UNBLOCK_OUTPUT",
        value_name = "SIZE",
        default_value = "16MiB",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub output: String,
    /// Default largest body of tasks that stream, in either direction [default: any size].
    #[arg(
        long,
        env = "UNBLOCK_STREAM",
        value_name = "SIZE",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub stream: Option<String>,
    /// Default number of runs of one task in flight.
    #[arg(
        long,
        env = "UNBLOCK_CONCURRENCY",
        value_name = "N",
        default_value = "256",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub concurrency: String,
    /// Default number of calls of one task that may wait.
    #[arg(
        long,
        env = "UNBLOCK_QUEUE",
        value_name = "N",
        default_value = "1024",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub queue: String,
    /// Default time a call may wait for its turn.
    #[arg(
        long,
        env = "UNBLOCK_QUEUE_WAIT",
        value_name = "TIME",
        default_value = "5s",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub queue_wait: String,
    /// Default weight of a task's calls beside those of others, 1 to 100.
    #[arg(
        long,
        env = "UNBLOCK_WEIGHT",
        value_name = "N",
        default_value = "1",
        help_heading = "Default limits of a call (a manifest may ask for others)"
    )]
    pub weight: String,
    /// Most wall time a manifest gets.
    #[arg(
        long,
        env = "UNBLOCK_MAX_WALL",
        value_name = "TIME",
        default_value = "1h",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_wall: String,
    /// Most CPU time a manifest gets.
    #[arg(
        long,
        env = "UNBLOCK_MAX_CPU",
        value_name = "TIME",
        default_value = "5m",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_cpu: String,
    /// Most memory a manifest gets.
    #[arg(
        long,
        env = "UNBLOCK_MAX_MEMORY",
        value_name = "SIZE",
        default_value = "1GiB",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_memory: String,
    /// Largest request body a manifest gets.
    #[arg(
        long,
        env = "UNBLOCK_MAX_INPUT",
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_input: String,
    /// Largest response body a manifest gets.
    #[arg(
        long,
        env = "UNBLOCK_MAX_OUTPUT",
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_output: String,
    /// Largest body of tasks that stream [default: any size].
    #[arg(
        long,
        env = "UNBLOCK_MAX_STREAM",
        value_name = "SIZE",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_stream: Option<String>,
    /// Most runs of one task in flight.
    #[arg(
        long,
        env = "UNBLOCK_MAX_CONCURRENCY",
        value_name = "N",
        default_value = "100000",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_concurrency: String,
    /// Most calls of one task that may wait.
    #[arg(
        long,
        env = "UNBLOCK_MAX_QUEUE",
        value_name = "N",
        default_value = "100000",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_queue: String,
    /// Most time a call may wait for its turn.
    #[arg(
        long,
        env = "UNBLOCK_MAX_QUEUE_WAIT",
        value_name = "TIME",
        default_value = "1m",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_queue_wait: String,
    /// Most weight a manifest gets.
    #[arg(
        long,
        env = "UNBLOCK_MAX_WEIGHT",
        value_name = "N",
        default_value = "100",
        help_heading = "Ceilings (cap what manifests ask for)"
    )]
    pub max_weight: String,
}

impl Flags {
    /// Takes off what concerns callers: a local command has none.
    pub fn forget_callers(&mut self) {
        self.listen = LOOPBACK.to_owned();
        (self.tokens, self.tls_cert, self.tls_key) = (None, None, None);
        (self.rate_limit, self.rate_burst) = (None, None);
    }
}

/// One part in so many of the machine's memory is for what is not counted, without a word about it. Not
/// more: what is counted is what runs may touch, and 10,000 parked calls of a Rust task may touch 20 GiB.
const MEMORY_PARTS: u64 = 8;

/// Where to listen without a word about it.
const LOOPBACK: &str = "127.0.0.1:8888";

/// Open files that connections leave to everything else: modules, listeners, the guests' own.
const DESCRIPTORS_KEPT: u64 = 64;

/// Connections at most, whatever the system allows.
const CONNECTIONS_MAX: usize = 1 << 20;

/// Connections where nobody says how many, at most.
const CONNECTIONS_DEFAULT_MAX: u64 = 65_536;

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

/// Most threads of one sort: beyond it the number is a typing error.
const THREADS_MAX: usize = 1024;

/// Most records of a task's calls: 200 bytes each, looked through one by one.
const RECORDS_MAX: usize = 10_000;

/// Least and most wasm stack in bytes: below it Rust's own start-up overflows, above it 10,000
/// stacks no longer fit the address space.
const STACK_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(64 << 20);

/// Reads flags one by one and keeps every mistake.
#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn read<T>(&mut self, flag: &str, default: T, parsed: Result<T, String>) -> T {
        parsed.unwrap_or_else(|message| {
            let variable = format!("UNBLOCK_{}", flag.replace('-', "_").to_uppercase());
            self.mistakes.push(format!("--{flag} (or {variable}): {message}"));
            default
        })
    }

    fn time(&mut self, flag: &str, text: &str) -> Duration {
        let parsed = limits::parse_duration(text).and_then(|time| {
            if time.is_zero() { Err(format!("found {text:?}, expected more than zero")) } else { Ok(time) }
        });
        self.read(flag, Duration::from_secs(1), parsed)
    }

    fn size(&mut self, flag: &str, text: &str) -> u64 {
        self.read(flag, 1, limits::parse_bytes(text))
    }

    fn count(&mut self, flag: &str, text: &str, range: std::ops::RangeInclusive<usize>) -> usize {
        let parsed = text.parse::<usize>().ok().filter(|count| range.contains(count)).ok_or_else(|| {
            format!("found {text:?}, expected a whole number from {} to {}", range.start(), range.end())
        });
        self.read(flag, *range.start(), parsed)
    }

    fn threads(&mut self, flag: &str, text: Option<&str>) -> NonZeroUsize {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let Some(text) = text else { return cores };
        NonZeroUsize::new(self.count(flag, text, 1..=THREADS_MAX)).unwrap_or(cores)
    }
}

impl Config {
    /// Reads all flags.
    ///
    /// # Errors
    /// Every mistake with its flag, what was found, what was expected and what to do.
    pub fn read(flags: &Flags) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        let listen = reader.read("listen", SocketAddr::from(([127, 0, 0, 1], 8888)), address(&flags.listen));
        reader.read("listen", (), check_public(listen, flags));
        let (tokens, tls) = (tokens(flags, &mut reader), tls_files(flags, &mut reader));
        let http = http_settings(flags, &mut reader);
        let grace = reader.time("grace", &flags.grace);
        let workers = reader.threads("workers", flags.workers.as_deref());
        let http_threads = reader.threads("http-threads", flags.http_threads.as_deref());
        let nice = i32::try_from(reader.count("nice", &flags.nice, 0..=19)).unwrap_or(0);
        let tasks = reader.read("tasks", PathBuf::new(), folder(&flags.tasks));
        let engine = engine_settings(flags, registry::count_modules(&tasks), &mut reader);
        let memory_bytes = match &flags.memory_budget {
            // Whole mebibytes, since people read it.
            None => (engine.runs.memory_bytes / MEMORY_PARTS * (MEMORY_PARTS - 1)) / MIB * MIB,
            Some(text) => reader.size("memory-budget", text),
        };
        let (defaults, ceilings) = (default_limits(flags, &mut reader), ceilings(flags, &mut reader));
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
            ..observe::Settings::default()
        };
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
            log_format,
            log: flags.log.clone(),
        })
    }
}

fn engine_settings(flags: &Flags, modules: usize, reader: &mut Reader) -> engine::Settings {
    let machine = Runs::for_this_machine(modules);
    let runs = match &flags.max_runs {
        None => machine,
        Some(text) => {
            let parsed = text
                .parse::<usize>()
                .map_err(|_| format!("found {text:?}, expected a whole number"))
                .and_then(|count| machine.with_count(count));
            reader.read("max-runs", machine, parsed)
        }
    };
    let stack = limits::parse_bytes(&flags.stack).and_then(|bytes| {
        if STACK_BYTES.contains(&bytes) {
            Ok(bytes)
        } else {
            Err(format!("found {:?}, expected 64KiB to 64MiB", flags.stack))
        }
    });
    engine::Settings {
        runs,
        stack_bytes: usize::try_from(reader.read("stack", 1 << 20, stack))
            .unwrap_or(engine::STACK_BYTES_DEFAULT),
        cache: reader.read("cache", None, cache_folder(flags.cache.as_deref())),
        cache_bytes_max: reader.size("cache-size", &flags.cache_size),
        compile_threads: reader.count("compile-threads", &flags.compile_threads, 1..=THREADS_MAX),
    }
}

fn default_limits(flags: &Flags, reader: &mut Reader) -> Limits {
    Limits {
        wall: reader.time("wall", &flags.wall),
        cpu: reader.time("cpu", &flags.cpu),
        memory: reader.size("memory", &flags.memory),
        input: reader.size("input", &flags.input),
        output: reader.size("output", &flags.output),
        stream: flags.stream.as_ref().map(|text| reader.size("stream", text)),
        concurrency: reader.count("concurrency", &flags.concurrency, 1..=usize::MAX),
        queue: reader.count("queue", &flags.queue, 0..=usize::MAX),
        queue_wait: reader.time("queue-wait", &flags.queue_wait),
        weight: reader.count("weight", &flags.weight, 1..=WEIGHT_MAX),
    }
}

fn ceilings(flags: &Flags, reader: &mut Reader) -> Ceilings {
    Ceilings(Limits {
        wall: reader.time("max-wall", &flags.max_wall),
        cpu: reader.time("max-cpu", &flags.max_cpu),
        memory: reader.size("max-memory", &flags.max_memory),
        input: reader.size("max-input", &flags.max_input),
        output: reader.size("max-output", &flags.max_output),
        stream: flags.max_stream.as_ref().map(|text| reader.size("max-stream", text)),
        concurrency: reader.count("max-concurrency", &flags.max_concurrency, 1..=usize::MAX),
        queue: reader.count("max-queue", &flags.max_queue, 0..=usize::MAX),
        queue_wait: reader.time("max-queue-wait", &flags.max_queue_wait),
        weight: reader.count("max-weight", &flags.max_weight, 1..=WEIGHT_MAX),
    })
}

fn http_settings(flags: &Flags, reader: &mut Reader) -> http::Settings {
    let rate = match &flags.rate_limit {
        None => {
            if flags.rate_burst.is_some() {
                reader
                    .mistakes
                    .push("--rate-burst: found no --rate-limit beside it, expected both".to_owned());
            }
            None
        }
        Some(text) => {
            let burst =
                flags.rate_burst.as_deref().map(|text| reader.count("rate-burst", text, 1..=1_000_000));
            let rate = http::Rate::parse(text).map(|rate| rate.with_burst(burst));
            reader.read("rate-limit", None, rate.map(Some))
        }
    };
    http::Settings {
        header_timeout: reader.time("header-timeout", &flags.header_timeout),
        body_timeout: reader.time("body-timeout", &flags.body_timeout),
        write_timeout: reader.time("write-timeout", &flags.write_timeout),
        connections_max: match &flags.max_connections {
            None => connections_default(),
            Some(text) => reader.count("max-connections", text, 1..=CONNECTIONS_MAX),
        },
        rate,
        ..http::Settings::default()
    }
}

/// Three quarters of the open files that the process may have, without those that it keeps: each
/// connection is one, and some make a guest open another.
fn connections_default() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = (files.saturating_sub(DESCRIPTORS_KEPT) / 4 * 3).clamp(1, CONNECTIONS_DEFAULT_MAX);
    usize::try_from(most).unwrap_or(1)
}

/// The file of tokens, if it can be read.
fn tokens(flags: &Flags, reader: &mut Reader) -> Option<PathBuf> {
    let path = flags.tokens.as_deref().map(PathBuf::from)?;
    reader.read("tokens", (), Tokens::read(&path).map(drop));
    Some(path)
}

/// Certificate and key, if they can be read.
fn tls_files(flags: &Flags, reader: &mut Reader) -> Option<tls::Files> {
    let (chain, key) = match (&flags.tls_cert, &flags.tls_key) {
        (None, None) => return None,
        (Some(chain), Some(key)) => (PathBuf::from(chain), PathBuf::from(key)),
        _ => {
            reader
                .mistakes
                .push("--tls-cert, --tls-key: found one of them, expected both or none".to_owned());
            return None;
        }
    };
    let files = tls::Files { chain, key };
    reader.read("tls-cert", (), files.read().map(drop));
    Some(files)
}

/// Refuses an address that others reach while everybody may call.
fn check_public(listen: SocketAddr, flags: &Flags) -> Result<(), String> {
    let public = !listen.ip().to_canonical().is_loopback();
    if !public || flags.tokens.is_some() || flags.allow_anonymous {
        return Ok(());
    }
    Err(format!(
        "found {listen}, which others may reach, and nothing that says who may call; name a file of tokens with \
         --tokens (unblock token create makes one), or say --allow-anonymous if whoever reaches it may call every task"
    ))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let expected =
        || format!("found {text:?}, expected an address and a port, such as 127.0.0.1:8888 or [::1]:8888");
    text.to_socket_addrs().map_err(|_| expected())?.next().ok_or_else(expected)
}

fn folder(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match std::fs::read_dir(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            let remedy = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("make it with `mkdir {text}`, or name another folder")
                }
                std::io::ErrorKind::PermissionDenied => "let this user read it".to_owned(),
                _ => "name a folder".to_owned(),
            };
            Err(format!("cannot read the tasks folder {text:?}: {error}; {remedy}"))
        }
    }
}

/// The folder named, or `unblock` in the user's cache folder (XDG Base Directory Specification).
fn cache_folder(text: Option<&str>) -> Result<Option<PathBuf>, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match text {
        Some("off") => Ok(None),
        Some("") => Err("found nothing, expected a folder or \"off\"".to_owned()),
        Some(text) => Ok(Some(PathBuf::from(text))),
        None => Ok(variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("unblock"))),
    }
}
