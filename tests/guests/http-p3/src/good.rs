//! Handlers that keep the rules.

use crate::Call;
use crate::response::{fill, streamed, text};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{FutureReader, StreamReader};
use wasip3::wit_future;

const MILLISECOND: u64 = 1_000_000;
const BYTES: &[(&str, &[u8])] = &[("content-type", b"application/octet-stream")];
const TEXT: &[(&str, &[u8])] = &[("content-type", b"text/plain")];

/// What was asked, a line each.
pub fn tell(call: Call) -> Response {
    let request = &call.request;
    let mut told = format!(
        "method {:?}\ntarget {:?}\nscheme {:?}\nauthority {:?}\n",
        request.get_method(),
        request.get_path_with_query(),
        request.get_scheme(),
        request.get_authority(),
    );
    for (name, value) in request.get_headers().copy_all() {
        told.push_str(&format!("header {name}: {}\n", String::from_utf8_lossy(&value)));
    }
    text(200, &told)
}

/// The body and its trailers back: the host connects the streams, the guest sees no byte.
pub fn echo(call: Call) -> Response {
    let (_, fine) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(call.request, fine);
    let headers = Fields::new();
    let _ = headers.append("content-type", b"application/octet-stream");
    Response::new(headers, Some(body), trailers).0
}

/// The body back, through the guest's memory.
pub fn pump(call: Call) -> Response {
    streamed(200, BYTES, async move |mut output| {
        let (_, fine) = wit_future::new(|| Ok(()));
        let (mut input, trailers) = Request::consume_body(call.request, fine);
        let mut buffer = Vec::with_capacity(65536);
        loop {
            let (status, filled) = input.read(buffer).await;
            if !filled.is_empty() {
                let mut rest = output.write_all(filled).await;
                if !rest.is_empty() {
                    return None;
                }
                rest.clear();
                buffer = rest;
                buffer.reserve(65536);
            } else {
                buffer = filled;
            }
            if !matches!(status, wasip3::wit_bindgen::StreamResult::Complete(_)) {
                break;
            }
        }
        drop(output);
        trailers.await.ok().flatten()
    })
}

/// The head at once, the body after `ms`.
pub fn first_byte(call: Call) -> Response {
    let pause = call.number("ms", 500);
    streamed(200, TEXT, async move |mut body| {
        wait_for(pause * MILLISECOND).await;
        body.write_all(b"late\n".to_vec()).await;
        None
    })
}

/// `bytes` of body.
pub fn source(call: Call) -> Response {
    let bytes = call.number("bytes", 1024);
    streamed(200, BYTES, async move |mut body| {
        if !fill(&mut body, bytes).await {
            eprintln!("source: the rest was not wanted");
        }
        None
    })
}

/// Reads the whole body and tells how long it was.
pub async fn sink(call: Call) -> Response {
    let (_, fine) = wit_future::new(|| Ok(()));
    let (input, trailers) = Request::consume_body(call.request, fine);
    text(200, &format!("{}\n", counted(input, trailers).await))
}

/// How long a body was, and how it ended if not well.
pub async fn counted(
    mut input: StreamReader<u8>,
    trailers: FutureReader<Result<Option<Fields>, ErrorCode>>,
) -> String {
    let mut bytes = 0;
    let mut buffer = Vec::with_capacity(65536);
    loop {
        let (status, mut filled) = input.read(buffer).await;
        bytes += filled.len();
        filled.clear();
        buffer = filled;
        if !matches!(status, wasip3::wit_bindgen::StreamResult::Complete(_)) {
            break;
        }
    }
    match trailers.await {
        Ok(_) => bytes.to_string(),
        Err(error) => format!("{bytes}, then {error:?}"),
    }
}

/// A body with a trailer.
pub fn trailers() -> Response {
    let headers: &[(&str, &[u8])] = &[("content-type", b"text/plain"), ("trailer", b"x-sum")];
    streamed(200, headers, async |mut body| {
        body.write_all(b"body\n".to_vec()).await;
        let trailers = Fields::new();
        let _ = trailers.append("x-sum", b"4");
        Some(trailers)
    })
}

/// Answers, and only then rests for `ms`.
pub fn linger(call: Call) -> Response {
    let pause = call.number("ms", 300);
    wasip3::wit_bindgen::spawn_local(async move {
        wait_for(pause * MILLISECOND).await;
        eprintln!("lingered");
    });
    text(200, "answered\n")
}

/// 204 without a body.
pub fn empty() -> Response {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), None, trailers);
    let _ = response.set_status_code(204);
    response
}

/// Something on both streams that are logged, then an answer.
#[allow(clippy::print_stdout, reason = "it is what this handler is for")]
pub fn stdio() -> Response {
    println!("to stdout");
    eprintln!("to stderr");
    text(200, "hello\n")
}
