//! The composition root: builds the layers, starts them, and drains them in a stated order.
//!
//! Start: engine → pool → registry (which loads the tasks) → listener → HTTP. Stop: readiness off
//! and no new calls → runs get the grace → runs are stopped → connections are closed → traces
//! are sent → threads are joined. Knows how the parts fit together, and nothing of requests.

use crate::access::Tokens;
use crate::config::Config;
use crate::error::LoadError;
use crate::http::{self, Doors, Gateway};
use crate::invoke::Invoker;
use crate::limits::{self, Limits};
use crate::observe::Observer;
use crate::registry::{Loader, Registry, share_limits};
use crate::reload::Reloaded;
use crate::runtime::{ExtraImports, Memory, Notes, Prepared, Runtime, Sampler, Sink, TICK};
use crate::task::TaskName;
use crate::telemetry;
use crate::traces::Traces;
use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use unblock_pool::{Pool, Share, Stop};

/// How long connections get to finish their last response once no run is left.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(2);

/// How long traces get to be sent at the end, if so much is left of the grace, and in any case.
const TRACES_TIME: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(5);

/// How long abandoned work (a compile under way, a file operation) may hold up the end.
const THREADS_GRACE: Duration = Duration::from_millis(500);

/// The loader the registry uses: the runtime compiles, the pool gives shares.
pub struct TaskLoader {
    runtime: Arc<Runtime>,
    pool: Arc<Pool>,
}

impl TaskLoader {
    /// A loader over both.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>, pool: Arc<Pool>) -> Self {
        Self { runtime, pool }
    }
}

impl Loader for TaskLoader {
    fn prepare(&self, bytes: &[u8], notes: &Notes) -> Result<Prepared, LoadError> {
        self.runtime.prepare(bytes, notes)
    }

    fn share(&self, _name: &TaskName, limits: &Limits) -> Share {
        self.pool.share(share_limits(limits))
    }
}

/// The engine, the pool and what makes calls on them.
pub struct Core {
    /// Compiles and runs.
    pub runtime: Arc<Runtime>,
    /// Schedules.
    pub pool: Arc<Pool>,
    /// Calls.
    pub invoker: Arc<Invoker>,
}

/// Builds the layers below HTTP. `handle` is the tokio runtime whose timers and file threads the
/// guests' host calls use.
///
/// # Errors
/// The engine's slots cannot be reserved, or the system refuses threads.
pub fn core(
    config: &Config,
    handle: tokio::runtime::Handle,
    extra: Option<ExtraImports>,
) -> anyhow::Result<Core> {
    let runtime = Runtime::new(&config.engine, extra)?;
    let pool_config = unblock_pool::Config {
        workers: config.workers,
        nice: config.nice,
        max_runs: config.engine.runs.count,
        tick: TICK,
        thread_name: "worker".to_owned(),
        ..unblock_pool::Config::default()
    };
    let observer = Observer::new(config.observe.clone());
    let samples: Arc<dyn Sink> = Arc::clone(observer.samples()) as _;
    let sampler = Sampler::new(samples, config.observe.samples_per_second, config.workers);
    let on_thread = Arc::new(move |life: &mut dyn FnMut()| {
        let _entered = handle.enter();
        match &sampler {
            Some(sampler) => sampler.during(life),
            None => life(),
        }
    });
    let pool =
        Pool::new(pool_config, runtime.interrupt(), on_thread).context("starting the worker threads")?;
    let pool = Arc::new(pool);
    let memory = Memory::new(config.memory_bytes);
    let invoker = Arc::new(Invoker::new(Arc::clone(&runtime), Arc::clone(&pool), memory, observer));
    Ok(Core { runtime, pool, invoker })
}

/// A server that listens. Dropped without [`Server::stop`], it ends at once.
pub struct Server {
    address: SocketAddr,
    core: Core,
    registry: Arc<Registry>,
    gateway: Arc<Gateway>,
    traces: Option<Arc<Traces>>,
    grace: Duration,
    stop: watch::Sender<bool>,
    serving: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    // Taken and shut down by whoever ends the server, once no run is left.
    tokio: Option<tokio::runtime::Runtime>,
}

/// Opens what stands between callers and handlers.
fn doors(config: &Config) -> anyhow::Result<Doors> {
    let opened = |opened: Result<_, String>| opened.map_err(anyhow::Error::msg);
    let tokens = config.tokens.clone().map(|path| {
        let read = {
            let path = path.clone();
            // Without its file nobody gets in: whoever took it away meant that.
            move || if path.exists() { Tokens::read(&path) } else { Ok(Tokens::default()) }
        };
        Reloaded::open("tokens", vec![path], read)
    });
    let tls = config.tls.clone().map(|files| {
        Reloaded::open("certificate", files.paths(), move || files.read()).map_err(anyhow::Error::msg)
    });
    let traces = config.traces.as_ref().map(Traces::start).transpose().map_err(anyhow::Error::msg)?;
    Ok(Doors { tokens: tokens.map(opened).transpose()?, tls: tls.transpose()?, traces })
}

/// Starts everything. Returns once the port is bound; tasks load in the background.
///
/// # Errors
/// The port is taken (names the flag), the engine cannot reserve its slots, the tasks folder cannot
/// be watched.
pub fn start(config: &Config, extra: Option<ExtraImports>) -> anyhow::Result<Server> {
    raise_files_max();
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.http_threads.get())
        .thread_name("http")
        .enable_all()
        .build()
        .context("starting the HTTP threads")?;
    // The port first: a second gateway should fail before it reserves slots and compiles.
    let listener = tokio.block_on(http::listen(config.listen)).map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another process listens there; stop it, or choose another with --listen"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need rights; choose another with --listen"
            }
            _ => "choose another address with --listen",
        };
        anyhow::anyhow!("cannot listen on {}: {error}; {remedy}", config.listen)
    })?;
    let address = listener.local_addr().context("asking for the bound address")?;
    let core = core(config, tokio.handle().clone(), extra)?;
    let loader = TaskLoader::new(Arc::clone(&core.runtime), Arc::clone(&core.pool));
    let registry = Registry::open(config.registry.clone(), Arc::new(loader))?;
    let doors = doors(config)?;
    let (secured, guarded) = (doors.tls.is_some(), doors.tokens.is_some());
    let traces = doors.traces.clone();
    let gateway = Gateway::new(Arc::clone(&registry), Arc::clone(&core.invoker), config.http.clone(), doors);
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        // The sender's end means the same as its word.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let serving = tokio.spawn(http::serve(listener, Arc::clone(&gateway), shutdown));
    let scheme = if secured { "https" } else { "http" };
    if guarded && !secured && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "tokens travel in clear to {address}: put TLS before it, or give --tls-cert and --tls-key"
        );
    }
    tracing::info!(
        address = %address,
        workers = config.workers.get(),
        tasks = %config.registry.tasks.display(),
        "listening on {scheme}://{address}; {}; {} of memory for all calls together",
        config.engine.runs.formula(),
        limits::bytes(config.memory_bytes)
    );
    Ok(Server {
        address,
        core,
        registry,
        gateway,
        traces,
        grace: config.grace,
        stop,
        serving: Some(serving),
        tokio: Some(tokio),
    })
}

/// Asks for as many file descriptors as may be had: each connection takes one, and each module with data
/// that was called. The usual limit of 1,024 is for programs that use `select`, which this is none of.
fn raise_files_max() {
    let limit = getrlimit(Resource::Nofile);
    // Refused: it goes on with what there is, and accepting connections says so when they run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

impl Server {
    /// The bound address; with port 0 in the configuration, the port that was given.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tasks.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The pool, for its numbers.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.core.pool
    }

    /// The memory that calls hold together.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        self.core.invoker.memory()
    }

    /// Waits for SIGTERM or SIGINT, then drains; a second signal ends the process at once.
    ///
    /// # Errors
    /// The signals cannot be listened for, or the listener failed.
    pub fn run_until_signalled(mut self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let Some(tokio) = self.tokio.as_ref() else { return Ok(()) };
        let _entered = tokio.enter();
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let mut serving = self.serving.take();
        let ended = tokio.block_on(async {
            tokio::select! {
                _ = terminate.recv() => None,
                _ = interrupt.recv() => None,
                ended = async { match serving.as_mut() { Some(serving) => serving.await, None => std::future::pending().await } } => Some(ended),
            }
        });
        if let Some(ended) = ended {
            return ended.context("the HTTP layer panicked")?.context("the listener failed");
        }
        self.serving = serving;
        tracing::info!(grace_ms = self.grace.as_millis() as u64, "draining; a second signal stops at once");
        tokio.spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::warn!("second signal: stopping at once");
            telemetry::flush();
            std::process::exit(EXIT_FORCED);
        });
        drop(_entered);
        self.stop();
        Ok(())
    }

    /// Drains and stops: see the module's page for the order.
    pub fn stop(mut self) {
        self.drain();
    }

    fn drain(&mut self) {
        let Some(tokio) = self.tokio.take() else { return };
        let begun = Instant::now();
        self.gateway.drain();
        self.core.pool.close();
        let idle = self.core.pool.idle();
        let grace = self.grace;
        let ended = tokio.block_on(async { tokio::time::timeout(grace, idle).await.is_ok() });
        if !ended {
            let running = self.core.pool.stats().permits;
            tracing::warn!(running, "the grace has passed: stopping the runs that are left");
            let idle = self.core.pool.idle();
            self.core.pool.stop_all(Stop::Shutdown);
            let _ = tokio.block_on(async { tokio::time::timeout(CONNECTIONS_GRACE, idle).await });
        }
        // The listener outlives the runs, so that their callers get their answers.
        self.stop.send_replace(true);
        if let Some(serving) = self.serving.take() {
            let _ = tokio.block_on(async { tokio::time::timeout(CONNECTIONS_GRACE, serving).await });
        }
        if let Some(traces) = &self.traces {
            let left = grace.saturating_sub(begun.elapsed());
            traces.stop(left.clamp(TRACES_TIME.start, TRACES_TIME.end));
        }
        self.core.invoker.observer().tell();
        tracing::info!("stopped");
        tokio.shutdown_timeout(THREADS_GRACE);
    }
}

/// Exit code after a second signal: 128 + SIGINT, as shells expect.
const EXIT_FORCED: i32 = 130;

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` nothing is left to do.
        let Some(tokio) = self.tokio.take() else { return };
        self.core.pool.close();
        let idle = self.core.pool.idle();
        self.core.pool.stop_all(Stop::Shutdown);
        // Guests that wait hold timers of the tokio runtime; they go first.
        let _ = tokio.block_on(async { tokio::time::timeout(CONNECTIONS_GRACE, idle).await });
        self.stop.send_replace(true);
        tokio.shutdown_timeout(THREADS_GRACE);
    }
}
