//! Sample task: a `wasi:http` 0.2 component, which gets the request and makes the response by itself.
//!
//! `GET` anything: what was asked, as JSON. `POST …/echo`: the body, chunk by chunk, as fast as the
//! client takes it. `GET …/first-byte?delay_ms=500`: the head at once, the body later.

mod request;

use std::time::Duration;

use serde_json::json;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

/// How much goes from one body to the other at a time, at most; the host may take less.
const CHUNK: u64 = 256 * 1024;

struct Echo;

impl Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path_with_query = request.path_with_query().unwrap_or_default();
        let (path, query) = request::split(&path_with_query);
        let result = match (request.method(), path.rsplit('/').next()) {
            (Method::Post | Method::Put, Some("echo")) => echo(&request, out),
            (Method::Get, Some("first-byte")) => first_byte(query, out),
            _ => tell(&request, out),
        };
        // The client or the gateway gave up on the response; there is nobody left to tell.
        if let Err(error) = result {
            eprintln!("echo: the response was not taken to its end: {error}");
        }
    }
}

wasip2::http::proxy::export!(Echo);

/// What was asked, as JSON.
fn tell(request: &IncomingRequest, out: ResponseOutparam) -> Result<(), StreamError> {
    let path_with_query = request.path_with_query().unwrap_or_default();
    let (path, query) = request::split(&path_with_query);
    let headers: Vec<_> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    let mut text = json!({
        "method": request::method(&request.method()),
        "path": path,
        "query": query,
        "authority": request.authority(),
        "headers": headers,
    })
    .to_string();
    text.push('\n');
    let body = answer(200, "application/json", out);
    send(body, text.as_bytes())
}

/// The request's body as the response's, with its media type and its trailers. Nothing is kept: a
/// chunk is read when the one before it was taken.
fn echo(request: &IncomingRequest, out: ResponseOutparam) -> Result<(), StreamError> {
    let kind = request.headers().get("content-type").into_iter().next();
    let kind = kind.as_deref().and_then(|kind| std::str::from_utf8(kind).ok());
    let body = answer(200, kind.unwrap_or("application/octet-stream"), out);
    let Ok(incoming) = request.consume() else { return Ok(()) };
    {
        let (Ok(input), Ok(output)) = (incoming.stream(), body.write()) else { return Ok(()) };
        loop {
            match output.blocking_splice(&input, CHUNK) {
                Ok(_) => {}
                Err(StreamError::Closed) => break,
                Err(error) => return Err(error),
            }
        }
        output.blocking_flush()?;
    }
    finish(body, trailers(incoming));
    Ok(())
}

/// Head first, body later.
fn first_byte(query: &str, out: ResponseOutparam) -> Result<(), StreamError> {
    let delay = request::parameter(query, "delay_ms").and_then(|value| value.parse().ok());
    let Some(delay) = delay else {
        let body = answer(400, "text/plain", out);
        return send(body, b"delay_ms is missing: milliseconds, for example ?delay_ms=500\n");
    };
    let body = answer(200, "text/plain", out);
    std::thread::sleep(Duration::from_millis(delay));
    send(body, b"the body\n")
}

/// Sends the head; the body is the caller's to write.
fn answer(status: u16, kind: &str, out: ResponseOutparam) -> OutgoingBody {
    let headers = Fields::new();
    // A value that came in as a header can go out as one; if the host thinks otherwise, it stays out.
    let _ = headers.set("content-type", &[kind.as_bytes().to_vec()]);
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    #[allow(clippy::expect_used, reason = "it fails only when asked a second time")]
    let body = response.body().expect("a new response has its body");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Writes a short body and ends it.
fn send(body: OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    if let Ok(output) = body.write() {
        for chunk in bytes.chunks(4096) {
            output.blocking_write_and_flush(chunk)?;
        }
    }
    finish(body, None);
    Ok(())
}

/// Waits for what comes after the request's body.
fn trailers(body: IncomingBody) -> Option<Fields> {
    let coming = IncomingBody::finish(body);
    coming.subscribe().block();
    coming.get()?.ok()?.ok()?
}

fn finish(body: OutgoingBody, trailers: Option<Fields>) {
    if let Err(error) = OutgoingBody::finish(body, trailers) {
        eprintln!("echo: the response could not be ended: {error}");
    }
}
