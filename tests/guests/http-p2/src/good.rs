//! Handlers that keep the rules.

use crate::Call;
use crate::response::Response;
use std::time::Duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// The smallest answer with a body.
pub fn hello(call: Call) {
    let headers: &[(&str, &[u8])] = &[("content-type", b"text/plain"), ("content-length", b"6")];
    Response::start_with(call.out, 200, headers).end_with(b"hello\n");
}

/// What was asked, a line each.
pub fn tell(call: Call) {
    let request = &call.request;
    let mut text = format!(
        "method {:?}\ntarget {:?}\nscheme {:?}\nauthority {:?}\n",
        request.method(),
        request.path_with_query(),
        request.scheme(),
        request.authority(),
    );
    for (name, value) in request.headers().entries() {
        text.push_str(&format!("header {name}: {}\n", String::from_utf8_lossy(&value)));
    }
    Response::start(call.out, 200).end_with(text.as_bytes());
}

/// The body back; the head goes out before the first byte is read.
#[allow(clippy::unwrap_used, reason = "a test guest may trap on what cannot happen")]
pub fn echo(call: Call) {
    let response = Response::start_with(call.out, 200, &[("content-type", b"application/octet-stream")]);
    let body = call.request.consume().unwrap();
    let input = body.stream().unwrap();
    let ended = loop {
        match response.output().blocking_splice(&input, 256 * 1024) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    if !matches!(ended, StreamError::Closed) {
        eprintln!("echo ended: {ended:?}");
    }
    drop(input);
    let coming = IncomingBody::finish(body);
    coming.subscribe().block();
    let trailers = coming.get().and_then(Result::ok).and_then(Result::ok).flatten();
    let _ = response.output().blocking_flush();
    response.end(trailers);
}

/// The head at once, the body after `ms`.
pub fn first_byte(call: Call) {
    let pause = Duration::from_millis(call.number("ms", 500));
    let response = Response::start(call.out, 200);
    std::thread::sleep(pause);
    response.end_with(b"late\n");
}

/// `bytes` of body.
pub fn source(call: Call) {
    let bytes = call.number("bytes", 1024);
    let response = Response::start_with(call.out, 200, &[("content-type", b"application/octet-stream")]);
    match response.fill(bytes) {
        Ok(()) => response.end(None),
        Err(error) => eprintln!("source ended: {error:?}"),
    }
}

/// Reads the whole body and tells how long it was.
#[allow(clippy::unwrap_used, reason = "a test guest may trap on what cannot happen")]
pub fn sink(call: Call) {
    let body = call.request.consume().unwrap();
    let input = body.stream().unwrap();
    let mut bytes = 0;
    let ended = loop {
        match input.blocking_read(64 * 1024) {
            Ok(chunk) => bytes += chunk.len() as u64,
            Err(error) => break error,
        }
    };
    let text = match ended {
        StreamError::Closed => format!("{bytes}\n"),
        StreamError::LastOperationFailed(error) => {
            format!("{bytes}, then {}\n", error.to_debug_string())
        }
    };
    Response::start(call.out, 200).end_with(text.as_bytes());
}

/// A body with a trailer.
#[allow(clippy::unwrap_used, reason = "a test guest may trap on what cannot happen")]
pub fn trailers(call: Call) {
    let response =
        Response::start_with(call.out, 200, &[("content-type", b"text/plain"), ("trailer", b"x-sum")]);
    response.write(b"body\n").unwrap();
    let trailers = Fields::new();
    trailers.append("x-sum", b"4").unwrap();
    response.end(Some(trailers));
}

/// Answers, and only then rests for `ms`.
pub fn linger(call: Call) {
    let pause = Duration::from_millis(call.number("ms", 300));
    Response::start(call.out, 200).end_with(b"answered\n");
    std::thread::sleep(pause);
    eprintln!("lingered");
}

/// 204 without a body.
pub fn empty(call: Call) {
    Response::start_with(call.out, 204, &[]).end(None);
}

/// Something on both streams that are logged, then an answer.
#[allow(clippy::print_stdout, reason = "it is what this handler is for")]
pub fn stdio(call: Call) {
    println!("to stdout");
    eprintln!("to stderr");
    hello(call);
}

/// Asks `authority` for `path` and gives the answer, or the error's name with status 502.
pub fn fetch(call: Call) {
    let asked = (|| {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).map_err(|()| "scheme".to_owned())?;
        let authority = call.text("authority").unwrap_or("127.0.0.1:1");
        request.set_authority(Some(authority)).map_err(|()| "authority".to_owned())?;
        let path = call.text("path").unwrap_or("/");
        request.set_path_with_query(Some(path)).map_err(|()| "path".to_owned())?;
        let body = request.body().map_err(|()| "body".to_owned())?;
        OutgoingBody::finish(body, None).map_err(|error| error.to_string())?;
        let coming = outgoing_handler::handle(request, None).map_err(|error| error.to_string())?;
        coming.subscribe().block();
        match coming.get() {
            Some(Ok(Ok(response))) => Ok(response),
            Some(Ok(Err(error))) => Err(error.to_string()),
            other => Err(format!("{other:?}")),
        }
    })();
    let incoming = match asked {
        Ok(incoming) => incoming,
        Err(error) => {
            return Response::start(call.out, 502).end_with(format!("{error}\n").as_bytes());
        }
    };
    let response = Response::start(call.out, incoming.status());
    if let Ok(body) = incoming.consume()
        && let Ok(input) = body.stream()
    {
        while response.output().blocking_splice(&input, 256 * 1024).is_ok() {}
        let _ = response.output().blocking_flush();
    }
    response.end(None);
}
