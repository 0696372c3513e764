//! Handlers that ask another server, by `wasi:http/client`; an error is what they answer with.
//!
//! From the query: `authority`, `path` and `scheme`, `method`, a header's `name` and `value`, and the time-outs
//! `connect`, `first-byte` and `between-bytes` in milliseconds.

use crate::Call;
use crate::good::counted;
use crate::response::{fill, text};
use std::future::poll_fn;
use std::task::Poll;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::{wit_bindgen, wit_future, wit_stream};

const MILLISECOND: u64 = 1_000_000;

/// The caller's request, sent on; the answer, handed back: the guest sees no byte of either body.
pub async fn fetch(call: Call) -> Result<Response, ErrorCode> {
    let target = Target::of(&call);
    let method =
        call.text("method").map_or_else(|| call.request.get_method(), |name| Method::Other(name.to_owned()));
    let request = if matches!(method, Method::Get) {
        target.request(method, None)
    } else {
        let (_, fine) = wit_future::new(|| Ok(()));
        target.request(method, Some(Request::consume_body(call.request, fine)))
    }?;
    Ok(passed_on(client::send(request).await?))
}

fn passed_on(response: Response) -> Response {
    let (status, headers) = (response.get_status_code(), response.get_headers().clone());
    let (_, fine) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, fine);
    let (answer, _) = Response::new(headers, Some(body), trailers);
    let _ = answer.set_status_code(status);
    answer
}

/// Sends `bytes` of its own, and hands the answer back.
pub async fn upload(call: Call) -> Result<Response, ErrorCode> {
    let bytes = call.number("bytes", 1024);
    let (mut body, reader) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let request = Target::of(&call).request(Method::Post, Some((reader, trailers)))?;
    wit_bindgen::spawn_local(async move {
        fill(&mut body, bytes).await;
        drop(body);
        // An error means that the host no longer wants to know.
        let _ = end.write(Ok(None)).await;
    });
    Ok(passed_on(client::send(request).await?))
}

/// Reads the answer's body itself, and tells how long it was and how it ended.
pub async fn measure(call: Call) -> Result<Response, ErrorCode> {
    let request = Target::of(&call).request(call.request.get_method(), None)?;
    let response = client::send(request).await?;
    let (_, fine) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, fine);
    Ok(text(200, &format!("{}\n", counted(body, trailers).await)))
}

/// Starts `requests` at once, and ends with the first that fails.
pub async fn crowd(call: Call) -> Result<Response, ErrorCode> {
    let mut asked = Vec::new();
    for _ in 0..call.number("requests", 2) {
        asked.push(Box::pin(client::send(Target::of(&call).request(Method::Get, None)?)));
    }
    poll_fn(|cx| {
        let failed = asked.iter_mut().find_map(|one| match one.as_mut().poll(cx) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        });
        failed.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    })
    .await
}

/// Where a request goes, and with what.
struct Target {
    scheme: Scheme,
    authority: String,
    path: String,
    header: Option<(String, String)>,
    options: RequestOptions,
}

type Body = (wit_bindgen::StreamReader<u8>, wit_bindgen::FutureReader<Result<Option<Fields>, ErrorCode>>);

impl Target {
    fn of(call: &Call) -> Self {
        let text = |name: &str| call.text(name).map(str::to_owned);
        let options = RequestOptions::new();
        let time = |name: &str| call.text(name)?.parse().ok().map(|time: u64| time * MILLISECOND);
        // What the host refuses stays at its default.
        let _ = options.set_connect_timeout(time("connect"));
        let _ = options.set_first_byte_timeout(time("first-byte"));
        let _ = options.set_between_bytes_timeout(time("between-bytes"));
        Self {
            scheme: match call.text("scheme") {
                Some("https") => Scheme::Https,
                Some(other) if other != "http" => Scheme::Other(other.to_owned()),
                _ => Scheme::Http,
            },
            authority: text("authority").unwrap_or_else(|| "127.0.0.1:1".to_owned()),
            path: text("path").unwrap_or_else(|| "/".to_owned()),
            header: text("name").zip(text("value")),
            options,
        }
    }

    fn request(self, method: Method, body: Option<Body>) -> Result<Request, ErrorCode> {
        let refused = |what: &str| ErrorCode::InternalError(Some(format!("{what} was refused")));
        let headers = Fields::new();
        if let Some((name, value)) = &self.header {
            let told = |error| ErrorCode::InternalError(Some(format!("{name}: {error:?}")));
            headers.append(name, value.as_bytes()).map_err(told)?;
        }
        let (body, trailers) = match body {
            Some((body, trailers)) => (Some(body), trailers),
            None => (None, wit_future::new(|| Ok(None)).1),
        };
        let (request, _) = Request::new(headers, body, trailers, Some(self.options));
        request.set_method(&method).map_err(|()| refused("the method"))?;
        request.set_scheme(Some(&self.scheme)).map_err(|()| refused("the scheme"))?;
        request.set_authority(Some(&self.authority)).map_err(|()| refused("the authority"))?;
        request.set_path_with_query(Some(&self.path)).map_err(|()| refused("the path"))?;
        Ok(request)
    }
}
