//! The queue of spans, and the thread that sends them in batches.
//!
//! OpenTelemetry's own batch processor has no async runtime, which both exporters need, and tells nobody what it
//! drops; so the thread here has a small runtime of its own and counts. The queue is bounded: a collector
//! that is slow, hangs or is not there costs spans, which are counted and told now and then, and nothing
//! else. Knows not what a span is about.

use super::{Protocol, Settings};
use opentelemetry::Context;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// Spans that wait to be sent: about 8 MiB.
const QUEUE_SPANS_MAX: usize = 8_192;

/// Spans sent at once.
const BATCH_SPANS_MAX: usize = 512;

/// How long a span may wait for others to be sent with.
const BATCH_TIME: Duration = Duration::from_secs(1);

/// How often the log is told of lost spans, at most.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// Beyond what was asked for, how long the end of the thread is waited for.
const JOIN_TIME: Duration = Duration::from_millis(500);

/// The way in.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The thread. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Exporting {
    /// When it has to be over.
    until: watch::Sender<Option<Instant>>,
    lost: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Starts the thread.
pub(super) fn start(settings: &Settings, resource: &Resource) -> Result<(Queue, Exporting), String> {
    let (spans, queued) = mpsc::channel(QUEUE_SPANS_MAX);
    let (until, stop) = watch::channel(None);
    let lost = Arc::new(AtomicU64::new(0));
    let (told, ready) = std::sync::mpsc::channel();
    let (settings, resource, counted) = (settings.clone(), resource.clone(), Arc::clone(&lost));
    let life = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(told.send(Err(format!("the thread that sends traces: {error}")))),
        };
        runtime.block_on(async {
            // Inside, since the exporters look for their runtime when they are made.
            let exporter = match exporter(&settings, &resource) {
                Ok(exporter) => exporter,
                Err(message) => return drop(told.send(Err(message))),
            };
            let _ = told.send(Ok(()));
            let sender =
                Sender { exporter, endpoint: settings.endpoint, lost: counted, told: Told::default() };
            sender.run(queued, stop).await;
        });
        // A look-up that hangs holds nobody up.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(life);
    let thread = thread.map_err(|error| format!("starting the thread that sends traces: {error}"))?;
    ready.recv().unwrap_or_else(|_| Err("the thread that sends traces ended at once".to_owned()))?;
    let exporting = Exporting { until, lost: Arc::clone(&lost), thread: Mutex::new(Some(thread)) };
    Ok((Queue { spans, lost }, exporting))
}

fn exporter(settings: &Settings, resource: &Resource) -> Result<SpanExporter, String> {
    let builder = SpanExporter::builder();
    let built = match settings.protocol {
        Protocol::Grpc => builder.with_tonic().with_endpoint(&settings.endpoint).build(),
        Protocol::Http => builder
            .with_http()
            .with_endpoint(&settings.endpoint)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .build(),
    };
    let mut exporter =
        built.map_err(|error| format!("traces cannot be sent to {}: {error}", settings.endpoint))?;
    exporter.set_resource(resource);
    Ok(exporter)
}

impl Exporting {
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self, within: Duration) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let end = Instant::now() + within;
        self.until.send_replace(Some(end));
        // A thread that hangs where nothing should is left behind.
        while !thread.is_finished() && Instant::now() < end + JOIN_TIME {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// What the log was told of lost spans.
#[derive(Default)]
struct Told {
    lost: u64,
    last: Option<Instant>,
}

struct Sender {
    exporter: SpanExporter,
    endpoint: String,
    lost: Arc<AtomicU64>,
    told: Told,
}

impl Sender {
    /// Sends until it is told to stop, or nobody is left to make spans.
    async fn run(mut self, mut queued: mpsc::Receiver<SpanData>, mut stop: watch::Receiver<Option<Instant>>) {
        let mut batch = Vec::with_capacity(BATCH_SPANS_MAX);
        loop {
            let stopping = tokio::select! {
                biased;
                () = asked(&mut stop) => true,
                () = fill(&mut queued, &mut batch) => false,
            };
            if stopping {
                break;
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.len();
            let sent = {
                let sending = self.exporter.export(batch.split_off(0));
                tokio::select! {
                    sent = sending => Some(sent),
                    () = over(&mut stop) => None,
                }
            };
            let stopped = sent.is_none();
            self.note(count, sent.unwrap_or(Ok(())), stopped);
        }
        let end = (*stop.borrow()).unwrap_or_else(Instant::now);
        queued.close();
        loop {
            while batch.len() < BATCH_SPANS_MAX
                && let Ok(span) = queued.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                break;
            }
            let count = batch.len();
            match timeout_at(end, self.exporter.export(batch.split_off(0))).await {
                Ok(sent) => self.note(count, sent, false),
                Err(_) => self.note(count, Ok(()), true),
            }
        }
        self.tell("the collector took them too slowly", true);
    }

    /// A batch was sent, or not.
    fn note(&mut self, spans: usize, sent: OTelSdkResult, stopped: bool) {
        let failure = match sent {
            Err(error) => error.to_string(),
            Ok(()) if stopped => "there was no time left to send them".to_owned(),
            Ok(()) => return self.tell("the collector takes them too slowly", false),
        };
        self.lost.fetch_add(spans as u64, Ordering::Relaxed);
        self.tell(&failure, stopped);
    }

    /// Tells what was lost since the last time, if it is time to.
    fn tell(&mut self, cause: &str, now: bool) {
        let lost = self.lost.load(Ordering::Relaxed);
        let spans = lost - self.told.lost;
        let due = self.told.last.is_none_or(|last| last.elapsed() >= TELL_INTERVAL);
        if spans == 0 || !(due || now) {
            return;
        }
        self.told = Told { lost, last: Some(Instant::now()) };
        tracing::warn!(
            spans,
            cause,
            endpoint = self.endpoint,
            "{spans} spans did not reach {}: {cause}",
            self.endpoint
        );
    }
}

/// Waits for spans, and for others to send with them. None: nobody is left to make any.
async fn fill(queued: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if queued.recv_many(batch, BATCH_SPANS_MAX).await == 0 {
        return;
    }
    let by = Instant::now() + BATCH_TIME;
    while batch.len() < BATCH_SPANS_MAX {
        let room = BATCH_SPANS_MAX - batch.len();
        match timeout_at(by, queued.recv_many(batch, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Resolves once it is to stop.
async fn asked(stop: &mut watch::Receiver<Option<Instant>>) {
    let _ = stop.wait_for(Option::is_some).await;
}

/// Resolves once it is to be over.
async fn over(stop: &mut watch::Receiver<Option<Instant>>) {
    let end = stop.wait_for(Option::is_some).await.ok().and_then(|end| *end);
    if let Some(end) = end {
        tokio::time::sleep_until(end).await;
    }
}
