//! The edge: the only place with status codes, headers and JSON envelopes.
//!
//! A handler extracts, calls the layer below and responds; this page is the map of all URLs and of
//! what happens around a handler, in order. The edge must not know wasmtime, stores or threads: it
//! sees a registry of tasks, an invoker that runs one call, and the plain words of `task` and
//! `error`. What is loaded may change between two requests, so every request takes one snapshot.

mod access;
mod answer;
mod body;
mod calls;
mod client;
mod compress;
mod cors;
mod docs;
mod error;
mod etag;
mod events;
mod files;
mod forwarded;
mod h2;
mod id;
mod inflow;
mod invoke;
mod manage;
mod metrics;
mod negotiate;
mod openapi;
mod page;
mod prefer;
mod probes;
mod problems;
mod profiles;
mod query;
mod rate;
mod server;
mod socket;
mod state;
mod streams;
mod tasks;
mod timing;
mod trailers;

pub use client::Proxies;
pub use cors::Cors;
pub use rate::Rate;
pub use server::{listen, serve};

use crate::access::Tokens;
use crate::invoke::Invoker;
use crate::limits::KIB;
use crate::observe::Answers;
use crate::registry::Registry;
use crate::reload::Reloaded;
use crate::traces::Traces;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the edge can be told; the defaults serve a public port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a client may take to send a request's header. An idle keep-alive connection is
    /// closed after the same time.
    pub header_timeout: Duration,
    /// Bytes of a request's header names and values, and of its target, together; then 431.
    pub header_bytes_max: usize,
    /// How long a client may take to send each 64 KiB of a body, or its
    /// rest; then 408.
    pub body_timeout: Duration,
    /// How long a client may take no byte of a response that waits for it; then it is cut off.
    pub write_timeout: Duration,
    /// Connections at once; more wait in the kernel's backlog.
    pub connections_max: usize,
    /// How often each client may ask.
    pub rate: Option<Rate>,
    /// The proxies that say who asks; without them it is the peer.
    pub proxies: Option<Proxies>,
    /// Pages of which other origins may read answers.
    pub cors: Option<Cors>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            header_bytes_max: 64 * KIB as usize,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            connections_max: 65_536,
            rate: None,
            proxies: None,
            cors: None,
        }
    }
}

/// The certificate that is shown, now.
pub type Certificate = Reloaded<Arc<rustls::ServerConfig>>;

/// What stands between callers and handlers.
#[derive(Default)]
pub struct Doors {
    /// The tokens that are taken; without them everybody may call.
    pub tokens: Option<Reloaded<Tokens>>,
    /// The certificate; without one HTTP is served in clear.
    pub tls: Option<Certificate>,
    /// Who follows the callers' traces, if somebody does.
    pub traces: Option<Arc<Traces>>,
}

/// What every handler may ask: the tasks, the way to run them, the settings, and whether the
/// gateway is on its way out.
pub struct Gateway {
    registry: Arc<Registry>,
    invoker: Arc<Invoker>,
    settings: Settings,
    ids: id::Ids,
    openapi: openapi::Cache,
    answers: Answers,
    tokens: Option<Reloaded<Tokens>>,
    tls: Option<Certificate>,
    traces: Option<Arc<Traces>>,
    rates: Option<rate::Rates>,
    profiled: Arc<Semaphore>,
    watch: events::Watch,
    draining: AtomicBool,
}

impl Gateway {
    /// The edge over a registry and an invoker. It serves nothing before [`serve`].
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        invoker: Arc<Invoker>,
        settings: Settings,
        doors: Doors,
    ) -> Arc<Self> {
        let Doors { tokens, tls, traces } = doors;
        let watch = events::Watch::new(invoker.pool().workers());
        Arc::new(Self {
            registry,
            invoker,
            ids: id::Ids::new(),
            rates: settings.rate.map(rate::Rates::new),
            settings,
            openapi: openapi::Cache::default(),
            answers: Answers::default(),
            tokens,
            tls,
            profiled: profiles::places(),
            traces,
            watch,
            draining: AtomicBool::new(false),
        })
    }

    /// Turns readiness off: `/readyz` answers 503 from now on, everything else goes on. The first
    /// step of a shutdown, so that a load balancer can look away before connections close.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`Gateway::drain`] was called.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Every URL. Around the routes, from the outside (`server.rs`):
///
/// 1. TLS, header timeout, connection bound, write timeout, lingering close
/// 2. the request id, taken or made, and set on every response
/// 3. the answer to a preflight, or the bound on the header's size
/// 4. who asks, behind which proxies; whose token it carries, which all but open paths need; the client's rate
/// 5. compression, for answers that are worth it; what pages of other origins may do with them
fn routes(gateway: Arc<Gateway>) -> Router {
    // What concerns all tasks is for holders of `read`. The handlers of one task ask for themselves.
    let read = Router::new()
        .route("/openapi.json", get(openapi::openapi))
        .route("/tasks", get(tasks::list))
        .route("/metrics", get(metrics::metrics))
        .route("/calls", get(calls::list))
        .route("/calls/{id}", get(calls::one))
        .route("/state", get(events::state))
        .route("/events", get(events::events))
        .method_not_allowed_fallback(probes::other_method)
        .route_layer(from_fn_with_state(Arc::clone(&gateway), access::read));
    Router::new()
        .merge(read)
        .route("/", get(page::root))
        .route("/page/{file}", get(page::file))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/docs", get(docs::docs))
        .route("/docs/{file}", get(docs::docs))
        .route("/problems", get(problems::list))
        .route("/problems/{slug}", get(problems::page))
        .route("/tasks/{task}", any(invoke::task_itself))
        .method_not_allowed_fallback(probes::other_method)
        // What lies below a task, and its own routes, come and go with it: the snapshot finds them. Not by
        // the router, which would decode and store the parameters of each call's path for nobody.
        .fallback(invoke::anywhere)
        .with_state(gateway)
}
