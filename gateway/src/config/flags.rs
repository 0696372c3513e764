//! The command line's flags and the variables that stand for them, as texts.
//!
//! What `serve --help` shows, heading by heading, with the defaults. Nothing is read here: what a text
//! means, and whether it means anything, is said by the files beside this one.

/// Where to listen without a word about it.
const LOOPBACK: &str = "127.0.0.1:8888";

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
    /// Samples of guests per second, all tasks together, for /tasks/{task}/-/profile; 0 takes none.
    #[arg(
        long,
        env = "UNBLOCK_PROFILE_RATE",
        value_name = "N",
        default_value = "200",
        help_heading = "Server"
    )]
    pub profile_rate: String,
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
    /// Calls that are logged: all, failures, off, or failures and so many others a second, such as "10/s".
    #[arg(
        long,
        env = "UNBLOCK_LOG_CALLS",
        value_name = "WHICH",
        default_value = "10/s",
        help_heading = "Server"
    )]
    pub log_calls: String,
    /// Collector for traces over OTLP, such as "http://localhost:4317"; or off [default: as OTEL_… says, else off].
    #[arg(long, env = "UNBLOCK_TRACES", value_name = "URL", help_heading = "Server")]
    pub traces: Option<String>,
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
    /// Proxies before the gateway, as networks or addresses: what they say of a client is believed [default: none].
    #[arg(long, env = "UNBLOCK_TRUSTED_PROXY", value_name = "CIDR,…", help_heading = "Access")]
    pub trusted_proxy: Option<String>,
    /// Where these proxies say it: x-forwarded-for or forwarded [default: x-forwarded-for].
    #[arg(long, env = "UNBLOCK_PROXY_HEADER", value_name = "FIELD", help_heading = "Access")]
    pub proxy_header: Option<String>,
    /// Origins whose pages may call and read the answers, such as "http://localhost:3000", or "*" [default: none].
    #[arg(long, env = "UNBLOCK_CORS_ORIGIN", value_name = "ORIGIN,…", help_heading = "Access")]
    pub cors_origin: Option<String>,
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
        (self.trusted_proxy, self.proxy_header, self.cors_origin) = (None, None, None);
        self.traces = Some("off".to_owned());
    }
}
