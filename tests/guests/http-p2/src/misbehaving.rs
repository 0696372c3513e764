//! Handlers that do what a handler must not do, or what it may do but a server must survive.

use crate::Call;
use crate::response::Response;
use std::time::{Duration, Instant};
use wasip2::http::types::{ErrorCode, Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// Answers with an error of its own.
pub fn error(call: Call) {
    let error = match call.text("kind") {
        Some("denied") => ErrorCode::HttpRequestDenied,
        Some("loop") => ErrorCode::LoopDetected,
        Some("timeout") => ErrorCode::ConnectionTimeout,
        _ => ErrorCode::InternalError(Some("the guest's own words".to_owned())),
    };
    ResponseOutparam::set(call.out, Err(error));
}

/// Traps before it answers.
#[allow(clippy::panic, reason = "it is what this handler is for")]
pub fn trap_before() {
    panic!("trapped before the head");
}

/// Sends the head and `bytes` of the body, then traps.
#[allow(clippy::panic, reason = "it is what this handler is for")]
pub fn trap_after(call: Call) {
    let bytes = call.number("bytes", 5);
    let response = Response::start(call.out, 200);
    let _ = response.fill(bytes);
    panic!("trapped after {bytes} bytes");
}

/// Ends the process instead of answering.
pub fn exit(call: Call) {
    std::process::exit(i32::try_from(call.number("code", 3)).unwrap_or(3));
}

/// Answers, and then once more with the same parameter.
#[allow(clippy::unwrap_used, reason = "a test guest may trap on what cannot happen")]
pub fn twice(call: Call) {
    let handle = call.out.handle();
    Response::start(call.out, 200).end_with(b"first\n");
    // SAFETY: not safe at all: the handle was given away with the first answer, and the host must
    // notice.
    let again = unsafe { ResponseOutparam::from_handle(handle) };
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    ResponseOutparam::set(again, Ok(response));
    OutgoingBody::finish(body, None).unwrap();
}

/// Sets the status `code`, whatever it is, and says so if the host refused it.
#[allow(clippy::unwrap_used, reason = "a test guest may trap on what cannot happen")]
pub fn status(call: Call) {
    let code = u16::try_from(call.number("code", 99)).unwrap_or(u16::MAX);
    let response = OutgoingResponse::new(Fields::new());
    let refused = response.set_status_code(code).is_err();
    let body = response.body().unwrap();
    ResponseOutparam::set(call.out, Ok(response));
    let output = body.write().unwrap();
    let _ = output.blocking_write_and_flush(if refused { b"refused\n" } else { b"taken\n" });
    drop(output);
    let _ = OutgoingBody::finish(body, None);
}

/// Sets the header `name` to `value` and tells what the host said of it.
pub fn header(call: Call) {
    let name = call.text("name").unwrap_or("connection").to_owned();
    let value = call.text("value").unwrap_or("close").to_owned();
    let fields = Fields::new();
    let said = match fields.append(&name, value.as_bytes()) {
        Ok(()) => "taken".to_owned(),
        Err(error) => format!("{error:?}"),
    };
    let response = Response::start_with(call.out, 200, &[(&name, value.as_bytes())]);
    response.end_with(format!("{said}\n").as_bytes());
}

/// Says `content-length: says` and writes `bytes`.
pub fn length(call: Call) {
    let (says, bytes) = (call.number("says", 10), call.number("bytes", 5));
    let says = says.to_string();
    let response = Response::start_with(call.out, 200, &[("content-length", says.as_bytes())]);
    if let Err(error) = response.fill(bytes) {
        eprintln!("writing: {error:?}");
    }
    response.end(None);
}

/// Answers, and only then computes for `ms`.
pub fn compute(call: Call) {
    let time = Duration::from_millis(call.number("ms", 300));
    Response::start(call.out, 200).end_with(b"answered\n");
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::black_box((0..10_000_u64).sum::<u64>());
    }
    eprintln!("computed");
}

/// Computes for ever.
pub fn spin() {
    loop {
        std::hint::black_box(0);
    }
}

/// Sends the head and a piece of the body, then computes for ever.
pub fn loop_after(call: Call) {
    let response = Response::start(call.out, 200);
    let _ = response.write(b"piece\n");
    spin();
}

/// Writes for ever.
pub fn flood(call: Call) {
    let response = Response::start(call.out, 200);
    while response.fill(1 << 20).is_ok() {}
}

/// Answers without a look at the body.
pub fn ignore(call: Call) {
    Response::start(call.out, 200).end_with(b"ignored\n");
}

/// Reads the first piece of the body, answers, and drops the rest.
#[allow(clippy::unwrap_used, reason = "a test guest may trap on what cannot happen")]
pub fn taste(call: Call) {
    let body = call.request.consume().unwrap();
    let input = body.stream().unwrap();
    let some = input.blocking_read(16).map(|chunk| !chunk.is_empty()).unwrap_or(false);
    drop(input);
    drop(body);
    let text = if some { "some\n" } else { "none\n" };
    Response::start(call.out, 200).end_with(text.as_bytes());
}

/// Sends head and a piece of the body, and never says that this was all.
pub fn unfinished(call: Call) {
    let response = Response::start(call.out, 200);
    let _ = response.write(b"piece\n");
}

/// Sends a head and never takes the body.
pub fn no_body(call: Call) {
    ResponseOutparam::set(call.out, Ok(OutgoingResponse::new(Fields::new())));
}

/// Takes memory until there is no more.
pub fn hungry() {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&taken);
    }
}

/// Sends the head and a piece of the body, then takes memory until there is no more.
pub fn hungry_after(call: Call) {
    let response = Response::start(call.out, 200);
    let _ = response.write(b"piece\n");
    hungry();
}
