//! `GET /state` and `GET /events`: what happens now, at once and as it goes on.
//!
//! Owns the clock of the samples, and the viewers. A sample is taken twice a second whether somebody
//! watches or not, since the next one who comes wants to see the last minutes; the calls in flight are
//! looked at, and anything is written, only while somebody does. A tick is written once for all viewers.
//! One who has missed a tick gets the whole state in its place. What a sample says is known in `observe`,
//! how it is written in `state.rs`.

use super::Gateway;
use super::answer::fixed;
use super::error::Context;
use super::id::CallId;
use super::state::{Moment, write};
use crate::access::Holder;
use crate::error::{Error, Kind};
use crate::observe::window::{INTERVAL, Look};
use crate::observe::{Sight, Window};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

/// Streams of events at once.
const VIEWERS_MAX: usize = 256;

/// When a viewer who found no place may try again.
const VIEWERS_RETRY: Duration = Duration::from_secs(5);

/// How long the calls in flight are looked at after somebody asked for the state.
const ASKED_LASTS: Duration = Duration::from_secs(5);

/// What viewers are told.
#[derive(Clone)]
enum Told {
    /// Nothing yet, or nobody was there.
    Nothing,
    /// A sample, by its number.
    Tick(u64, Bytes),
    /// The gateway goes.
    Over,
}

/// The samples, and who watches.
pub struct Watch {
    window: Mutex<Window>,
    /// The state of a sample as it was written last, for viewers who come together.
    written: Mutex<Option<(u64, Bytes)>>,
    told: watch::Sender<Told>,
    viewers: Arc<Semaphore>,
    started: Instant,
    asked: Mutex<Option<Instant>>,
}

impl Watch {
    /// A window over a pool of so many workers, which nobody watches.
    pub fn new(workers: usize) -> Self {
        let started = Instant::now();
        Self {
            window: Mutex::new(Window::new(workers, started)),
            written: Mutex::default(),
            told: watch::Sender::new(Told::Nothing),
            viewers: Arc::new(Semaphore::new(VIEWERS_MAX)),
            started,
            asked: Mutex::default(),
        }
    }

    /// Ends all streams, and those that come later once they have told the state.
    pub fn close(&self) {
        self.told.send_replace(Told::Over);
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody wants to see the calls in flight.
    fn watched(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.told.receiver_count() > 0 || asked.is_some_and(|asked| asked.elapsed() < ASKED_LASTS)
    }
}

/// Takes samples for as long as it is polled.
pub async fn sample(gateway: Arc<Gateway>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        tick(&gateway);
    }
}

fn tick(gateway: &Gateway) {
    let watch = &gateway.watch;
    let snapshot = gateway.registry.snapshot();
    let tasks = snapshot.tasks.values().map(|task| (&task.figures, task.prepared.kind));
    let invoker = &gateway.invoker;
    let live = watch.watched().then(|| invoker.observer().live());
    let mut window = watch.window();
    let look = Look { at: Instant::now(), at_ms: now_ms(), tasks, pool: invoker.pool().stats(), live };
    window.take(look);
    if watch.told.receiver_count() == 0 {
        return;
    }
    let sample = window.sample();
    let event = event("tick", &write(&window, &moment(gateway, &snapshot), true));
    drop(window);
    watch.told.send_if_modified(|told| {
        let goes_on = !matches!(told, Told::Over);
        if goes_on {
            *told = Told::Tick(sample, event);
        }
        goes_on
    });
}

fn moment<'a>(gateway: &'a Gateway, snapshot: &'a crate::registry::Snapshot) -> Moment<'a> {
    let (pool, memory) = (gateway.invoker.pool(), gateway.invoker.memory());
    Moment {
        at_ms: now_ms(),
        uptime: gateway.watch.started.elapsed(),
        draining: gateway.draining(),
        runs_max: pool.permits_max(),
        workers: pool.workers(),
        memory,
        snapshot,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An event of a stream. JSON has no line break where a text stands in its quotes.
fn event(name: &str, json: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(json.len() + name.len() + 20);
    for piece in [b"event: ", name.as_bytes(), b"\ndata: ", json, b"\n\n"] {
        event.extend_from_slice(piece);
    }
    event.into()
}

/// The number of the last sample, and the whole state as of it.
fn whole(gateway: &Gateway) -> (u64, Bytes) {
    let watch = &gateway.watch;
    let mut window = watch.window();
    let sample = window.sample();
    let mut written = watch.written.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, state)) = &*written
        && *of == sample
    {
        return (sample, state.clone());
    }
    if window.sight().is_none() {
        let sight = Sight::of(gateway.invoker.observer().live(), gateway.invoker.pool().workers());
        window.see(gateway.invoker.pool().stats(), sight);
    }
    let snapshot = gateway.registry.snapshot();
    let state = Bytes::from(write(&window, &moment(gateway, &snapshot), false));
    *written = Some((sample, state.clone()));
    (sample, state)
}

/// `GET /state`
pub async fn state(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    *gateway.watch.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    let mut response = fixed(StatusCode::OK, "application/json", whole(&gateway).1);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /events`
pub async fn events(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    request: Request,
) -> Response<Body> {
    let Ok(place) = Arc::clone(&gateway.watch.viewers).try_acquire_owned() else {
        let detail = format!("{VIEWERS_MAX} viewers watch already; close some pages, or ask for GET /state");
        let mut error = Error::new(Kind::QueueFull, detail);
        error.retry_after = Some(VIEWERS_RETRY);
        return Context::of(&call).respond(&error);
    };
    let holder = request.extensions().get::<Arc<Holder>>().map(Arc::clone);
    let told = gateway.watch.told.subscribe();
    let viewer = Viewer { gateway, told, holder, sample: None, _place: place };
    let stream = futures_util::stream::unfold(viewer, |mut viewer| async move {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    let mut response = fixed(StatusCode::OK, "text/event-stream", Body::from_stream(stream));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One stream of events.
struct Viewer {
    gateway: Arc<Gateway>,
    told: watch::Receiver<Told>,
    holder: Option<Arc<Holder>>,
    /// The sample it was told last.
    sample: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    /// The next event; `None` when the gateway goes, or the viewer's token is not taken any more.
    async fn next(&mut self) -> Option<Bytes> {
        let Some(known) = self.sample else { return Some(self.state()) };
        loop {
            let (sample, event) = match &*self.told.borrow_and_update() {
                Told::Over => return None,
                Told::Nothing => (0, Bytes::new()),
                Told::Tick(sample, event) => (*sample, event.clone()),
            };
            if sample > known {
                if !self.allowed() {
                    return None;
                }
                if sample > known + 1 {
                    return Some(self.state());
                }
                self.sample = Some(sample);
                return Some(event);
            }
            self.told.changed().await.ok()?;
        }
    }

    fn state(&mut self) -> Bytes {
        let (sample, state) = whole(&self.gateway);
        self.sample = Some(sample);
        event("state", &state)
    }

    fn allowed(&self) -> bool {
        match (&self.gateway.tokens, &self.holder) {
            (Some(tokens), Some(holder)) => tokens.load().keeps(holder, SystemTime::now()),
            (tokens, _) => tokens.is_none(),
        }
    }
}
