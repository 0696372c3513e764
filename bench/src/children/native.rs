//! The references: axum handlers that do the same work natively, inline or by `spawn_blocking`.
//!
//! As many HTTP threads and as long a backlog as the gateway's, and tokio's default of 512 blocking
//! threads, which is what one gets without thinking. Loops end by themselves, since nobody can stop
//! them.

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a handler does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// On the HTTP thread; sleeps are the async runtime's.
    Inline,
    /// On tokio's blocking threads.
    Blocking,
}

/// Sleeps and loops that have begun and not ended.
type Running = Arc<AtomicU64>;

#[derive(Deserialize)]
struct Terms {
    a: i32,
    b: i32,
}

#[derive(Deserialize)]
struct Steps {
    n: u32,
}

#[derive(Deserialize)]
struct Time {
    seconds: f64,
}

type Answer = ([(HeaderName, &'static str); 1], String);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

fn answer(kind: &'static str, body: String) -> Answer {
    ([(CONTENT_TYPE, kind)], body)
}

/// Serves until the input ends.
pub fn run(mode: Mode) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?;
    let running = Running::default();
    let routes = Router::new().route("/", get(hello)).route("/loop", get(spin)).route("/echo", post(echo));
    let routes = match mode {
        Mode::Inline => routes
            .route("/add", get(add_inline))
            .route("/mix", get(mix_inline))
            .route("/sleep", get(sleep_inline)),
        Mode::Blocking => routes
            .route("/add", get(add_blocking))
            .route("/mix", get(mix_blocking))
            .route("/sleep", get(sleep_blocking)),
    };
    let routes = routes.with_state(Arc::clone(&running));
    let listener = tokio.block_on(gateway::http::listen(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|stream| {
        // Fails only on a connection that is gone already.
        let _ = stream.set_nodelay(true);
    });
    tokio.spawn(async move { axum::serve(listener, routes).await });
    super::converse(
        address,
        || serde_json::json!({ "asleep": running.load(Ordering::Relaxed), "running": running.load(Ordering::Relaxed) }),
    )?;
    tokio.shutdown_background();
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

async fn hello() -> Answer {
    answer(TEXT, format!("Hello, world {}", now()))
}

/// The body back as it comes.
async fn echo(body: Body) -> Body {
    body
}

async fn add_inline(Query(Terms { a, b }): Query<Terms>) -> Answer {
    answer(JSON, a.wrapping_add(b).to_string())
}

async fn add_blocking(Query(Terms { a, b }): Query<Terms>) -> Result<Answer, StatusCode> {
    blocking(move || answer(JSON, a.wrapping_add(b).to_string())).await
}

/// About 1 ms of computing: so many steps of a xorshift generator, each of which needs the one before
/// it. Nothing that a compiler could take a short cut through, as it can with a congruential one.
pub fn mix(n: u32) -> u32 {
    (0..n).fold(1, |mut x: u32, _| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^ (x << 5)
    })
}

async fn mix_inline(Query(Steps { n }): Query<Steps>) -> Answer {
    answer(JSON, mix(n).to_string())
}

async fn mix_blocking(Query(Steps { n }): Query<Steps>) -> Result<Answer, StatusCode> {
    blocking(move || answer(JSON, mix(n).to_string())).await
}

async fn sleep_inline(State(running): State<Running>, Query(Time { seconds }): Query<Time>) -> Answer {
    running.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    running.fetch_sub(1, Ordering::Relaxed);
    answer(TEXT, format!("Awake! {}", now()))
}

async fn sleep_blocking(
    State(running): State<Running>,
    Query(Time { seconds }): Query<Time>,
) -> Result<Answer, StatusCode> {
    blocking(move || {
        running.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs_f64(seconds));
        running.fetch_sub(1, Ordering::Relaxed);
        answer(TEXT, format!("Awake! {}", now()))
    })
    .await
}

async fn spin(
    State(running): State<Running>,
    Query(Time { seconds }): Query<Time>,
) -> Result<Answer, StatusCode> {
    blocking(move || {
        running.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        running.fetch_sub(1, Ordering::Relaxed);
        answer(TEXT, "done".to_owned())
    })
    .await
}

async fn blocking(work: impl FnOnce() -> Answer + Send + 'static) -> Result<Answer, StatusCode> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
