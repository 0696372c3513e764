//! Handlers that do what a handler must not do, or what it may do but a server must survive.

use crate::Call;
use crate::response::{fill, streamed, text};
use std::time::{Duration, Instant};
use wasip3::http::types::{ErrorCode, Fields, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

const TEXT: &[(&str, &[u8])] = &[("content-type", b"text/plain")];

/// Waits for ever for bytes that nobody but itself could send.
pub async fn silent() -> ! {
    let (body, mut reader) = wit_stream::new();
    while reader.next().await.is_none_or(|_: u8| true) {}
    drop(body);
    spin()
}

/// An error instead of an answer.
pub fn error(call: Call) -> ErrorCode {
    match call.text("kind") {
        Some("denied") => ErrorCode::HttpRequestDenied,
        Some("loop") => ErrorCode::LoopDetected,
        Some("timeout") => ErrorCode::ConnectionTimeout,
        _ => ErrorCode::InternalError(Some("the guest's own words".to_owned())),
    }
}

/// Traps before it answers.
#[allow(clippy::panic, reason = "it is what this handler is for")]
pub fn trap_before() -> ! {
    panic!("trapped before the head");
}

/// Sends the head and `bytes` of the body, then traps.
#[allow(clippy::panic, reason = "it is what this handler is for")]
pub fn trap_after(call: Call) -> Response {
    let bytes = call.number("bytes", 5);
    streamed(200, TEXT, async move |mut body| {
        fill(&mut body, bytes).await;
        panic!("trapped after {bytes} bytes");
    })
}

/// Sets the status `code`, whatever it is, and says so if the host refused it.
pub fn status(call: Call) -> Response {
    let code = u16::try_from(call.number("code", 99)).unwrap_or(u16::MAX);
    let response = text(200, "see the status\n");
    if response.set_status_code(code).is_err() {
        return text(200, "refused\n");
    }
    response
}

/// Sets the header `name` to `value` and tells what the host said of it.
pub fn header(call: Call) -> Response {
    let name = call.text("name").unwrap_or("connection").to_owned();
    let value = call.text("value").unwrap_or("close").to_owned();
    let said = match Fields::new().append(&name, value.as_bytes()) {
        Ok(()) => "taken\n".to_owned(),
        Err(error) => format!("{error:?}\n"),
    };
    streamed(200, &[(&name, value.as_bytes())], async move |mut body| {
        body.write_all(said.into_bytes()).await;
        None
    })
}

/// Says `content-length: says` and writes `bytes`.
pub fn length(call: Call) -> Response {
    let (says, bytes) = (call.number("says", 10), call.number("bytes", 5));
    streamed(200, &[("content-length", says.to_string().as_bytes())], async move |mut body| {
        fill(&mut body, bytes).await;
        None
    })
}

/// Answers, and only then computes for `ms`.
pub fn compute(call: Call) -> Response {
    let time = Duration::from_millis(call.number("ms", 300));
    streamed(200, TEXT, async move |mut body| {
        body.write_all(b"answered\n".to_vec()).await;
        drop(body);
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::black_box((0..10_000_u64).sum::<u64>());
        }
        eprintln!("computed");
        None
    })
}

/// Computes for ever.
pub fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

/// Sends the head and a piece of the body, then computes for ever.
pub fn loop_after() -> Response {
    streamed(200, TEXT, async |mut body| {
        body.write_all(b"piece\n".to_vec()).await;
        spin()
    })
}

/// Writes for ever.
pub fn flood() -> Response {
    streamed(200, TEXT, async |mut body| {
        while fill(&mut body, 1 << 20).await {}
        None
    })
}

/// Sends the head and a piece of the body, then says that the rest failed.
pub fn unfinished() -> Response {
    let (mut body, reader) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(reader), trailers);
    wit_bindgen::spawn_local(async move {
        body.write_all(b"piece\n".to_vec()).await;
        drop(body);
        let _ = end.write(Err(ErrorCode::InternalError(Some("half of it".to_owned())))).await;
    });
    response
}

/// Takes memory until there is no more.
pub fn hungry() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&taken);
    }
}

/// Sends the head and a piece of the body, then takes memory until there is no more.
pub fn hungry_after() -> Response {
    streamed(200, TEXT, async |mut body| {
        body.write_all(b"piece\n".to_vec()).await;
        hungry()
    })
}
