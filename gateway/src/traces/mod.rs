//! Traces of calls, told to a collector over OTLP: off unless a collector is named, and free when off.
//!
//! [`Traces::begin`] is called where a request for a task arrives; the [`Call`] it returns goes with the
//! call, is told of the answer and of the phases, and becomes a span when the last who holds it lets go.
//! Nothing that callers sent becomes part of a span but their trace's own ids: a path is told by the names of
//! its parameters. Names of attributes are those of OpenTelemetry's semantic conventions for HTTP, and
//! `unblock.…` for what they have no word for (`docs/traces.md`). Knows no tasks and no pool.
//!
//! | file | owns |
//! |---|---|
//! | `call.rs` | the span of a call, of its phases, of the requests its guest makes |
//! | `context.rs` | the header fields that carry a trace on: W3C Trace Context |
//! | `export.rs` | the queue of spans and the thread that sends them |

mod call;
mod context;
mod export;

pub use call::{Asked, Call, Ended, Request};

use export::{Exporting, Queue};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use std::sync::Arc;
use std::time::Duration;

/// The name of the service where nobody gave it one.
const SERVICE: &str = "unblock";

/// Where traces go, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The collector's URL, as it is asked.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Which calls are traced.
    pub sampling: Sampling,
    /// The service's name; by default that of `OTEL_RESOURCE_ATTRIBUTES`, else `unblock`.
    pub service: Option<String>,
}

/// The protocols of OTLP that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, over HTTP/2 in clear.
    Grpc,
    /// Protobuf in requests of HTTP/1.1.
    Http,
}

/// Which calls are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether the caller's decision counts, where it made one.
    pub parent: bool,
    /// The part of all other calls, 0 to 1.
    pub part: f64,
}

impl Default for Sampling {
    /// The standard's: what the caller says, else all.
    fn default() -> Self {
        Self { parent: true, part: 1.0 }
    }
}

impl Sampling {
    fn sampler(self) -> Sampler {
        let own = if self.part >= 1.0 {
            Sampler::AlwaysOn
        } else if self.part <= 0.0 {
            Sampler::AlwaysOff
        } else {
            Sampler::TraceIdRatioBased(self.part)
        };
        if self.parent { Sampler::ParentBased(Box::new(own)) } else { own }
    }
}

/// See the module's page.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    exporting: Exporting,
}

impl Traces {
    /// Starts the thread that sends spans. The collector need not be there.
    ///
    /// # Errors
    /// The exporter does not take the settings, or what it reads of the environment itself
    /// (`OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION`); the thread cannot be started.
    pub fn start(settings: &Settings) -> Result<Arc<Self>, String> {
        let resource = resource(settings);
        let (queue, exporting) = export::start(settings, &resource)?;
        let provider = provider(queue, resource, settings.sampling);
        let tracer = provider.tracer("unblock");
        Ok(Arc::new(Self { tracer, exporting }))
    }

    /// A request for a task has come.
    #[must_use]
    pub fn begin(&self, asked: &Asked<'_>) -> Call {
        Call::begin(&self.tracer, asked)
    }

    /// Spans that never reached the collector: for want of room in the queue, or since it did not take them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.exporting.lost()
    }

    /// Sends what is there, for so long at most. What comes later is lost.
    pub fn stop(&self, within: Duration) {
        self.exporting.stop(within);
    }
}

fn provider(queue: Queue, resource: Resource, sampling: Sampling) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_span_processor(queue)
        .with_resource(resource)
        .with_sampler(sampling.sampler())
        .build()
}

/// Who tells. The library reads the standard variables; the name is the settings'.
fn resource(settings: &Settings) -> Resource {
    let found = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let named =
        found.map(|name| name.as_str().into_owned()).filter(|name| !name.starts_with("unknown_service"));
    let name = settings.service.clone().or(named).unwrap_or_else(|| SERVICE.to_owned());
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
