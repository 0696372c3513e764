//! A collector of traces: takes what an OTLP exporter sends, by HTTP or by gRPC, and keeps the spans.
//!
//! A server of its own for each, on hyper: what comes over the wire is decoded with the messages of the
//! protocol's own definition.

use super::until;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message as _;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    /// As in the protocol: 1 internal, 2 server, 3 client.
    pub kind: i32,
    /// 0 unset, 2 error.
    pub status: i32,
    pub start: Duration,
    pub end: Duration,
    pub state: String,
    /// Values as text.
    pub attributes: BTreeMap<String, String>,
    /// Those of the process that sent it.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    pub fn of(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

/// The server. It ends with the test's process.
pub struct Collector {
    pub address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// One that is spoken to by HTTP/1.1.
    pub fn http() -> Self {
        Self::start(false)
    }

    /// One that is spoken to by gRPC.
    pub fn grpc() -> Self {
        Self::start(true)
    }

    fn start(grpc: bool) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let kept = Arc::clone(&kept);
                    let service = service_fn(move |request| take(request, grpc, Arc::clone(&kept)));
                    tokio::spawn(async move {
                        let stream = TokioIo::new(stream);
                        let _ = if grpc {
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(stream, service)
                                .await
                        } else {
                            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
                        };
                    });
                }
            });
        });
        Self { address, spans }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of a trace, once the one of that kind is among them.
    pub async fn trace(&self, id: &str, kind: i32) -> Vec<Span> {
        let of = || self.spans().into_iter().filter(|span| span.trace == id).collect::<Vec<_>>();
        until("the trace's spans", async || of().iter().any(|span| span.kind == kind)).await;
        of()
    }
}

async fn take(
    request: Request<Incoming>,
    grpc: bool,
    kept: Arc<Mutex<Vec<Span>>>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let path =
        if grpc { "/opentelemetry.proto.collector.trace.v1.TraceService/Export" } else { "/v1/traces" };
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", path));
    let kind = if grpc { "application/grpc" } else { "application/x-protobuf" };
    assert_eq!(request.headers()["content-type"], kind);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    // A message of gRPC: a byte that says it is not compressed, four for its length.
    let message = if grpc { body.slice(5..) } else { body };
    let message = ExportTraceServiceRequest::decode(message).unwrap();
    kept.lock().unwrap().extend(spans(message));
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    let response = Response::builder().header("content-type", kind);
    if !grpc {
        return Ok(response.body(Full::new(Bytes::from(answer)).boxed()).unwrap());
    }
    let mut framed = vec![0; 5];
    framed[4] = u8::try_from(answer.len()).unwrap();
    framed.extend(answer);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async move { Some(Ok(trailers)) });
    Ok(response.body(body.boxed()).unwrap())
}

fn spans(message: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for of_resource in message.resource_spans {
        let resource = texts(of_resource.resource.unwrap().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                status: span.status.map_or(0, |status| status.code),
                start: Duration::from_nanos(span.start_time_unix_nano),
                end: Duration::from_nanos(span.end_time_unix_nano),
                state: span.trace_state,
                attributes: texts(span.attributes),
                resource: resource.clone(),
            });
        }
    }
    all
}

fn texts(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Any| match value {
        Any::StringValue(text) => text,
        Any::IntValue(number) => number.to_string(),
        Any::DoubleValue(number) => number.to_string(),
        Any::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let value =
        |pair: &KeyValue| pair.value.clone().and_then(|value| value.value).map(text).unwrap_or_default();
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
