//! Requests over `wasi:http` 0.2, by its own interfaces.

use crate::bindings::exports::api::{Answer, Extra};
use wasip2::http::outgoing_handler::{FutureIncomingResponse, handle};
use wasip2::http::types::{
    Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

pub(crate) fn fetch(url: &str, extra: Option<Extra>) -> Result<Answer, String> {
    answer(&wait(&send(url, extra)?)?)
}

pub(crate) fn upload(url: &str, kibibytes: u32) -> Result<Answer, String> {
    let request = request(url, Fields::new(), "POST")?;
    let body = request.body().map_err(|()| "no body")?;
    let response = handle(request, None).map_err(|code| format!("{code:?}"))?;
    let stream = body.write().map_err(|()| "no stream")?;
    for _ in 0..kibibytes {
        stream.blocking_write_and_flush(&[b'x'; 1024]).map_err(|error| format!("{error:?}"))?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    answer(&wait(&response)?)
}

pub(crate) fn download(url: &str) -> Result<u64, String> {
    let response = wait(&send(url, None)?)?;
    let mut bytes = 0;
    read(&response, |chunk| bytes += chunk.len() as u64)?;
    Ok(bytes)
}

pub(crate) fn crowd(url: &str, requests: u32) -> Vec<String> {
    let started: Vec<_> = (0..requests).map(|_| send(url, None)).collect();
    started
        .iter()
        .map(|response| match response {
            Ok(response) => match wait(response) {
                Ok(response) => response.status().to_string(),
                Err(code) => code,
            },
            Err(code) => code.clone(),
        })
        .collect()
}

fn request(url: &str, headers: Fields, method: &str) -> Result<OutgoingRequest, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(headers);
    request.set_method(&method).map_err(|()| "bad method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "bad scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "bad authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "bad path")?;
    Ok(request)
}

fn send(url: &str, extra: Option<Extra>) -> Result<FutureIncomingResponse, String> {
    let Some(extra) = extra else {
        return handle(request(url, Fields::new(), "GET")?, None).map_err(|code| format!("{code:?}"));
    };
    let headers = Fields::new();
    for (name, value) in &extra.headers {
        headers.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    let request = request(url, headers, extra.method.as_deref().unwrap_or("GET"))?;
    let options = RequestOptions::new();
    let nanoseconds = |milliseconds: Option<u32>| milliseconds.map(|time| u64::from(time) * 1_000_000);
    options.set_connect_timeout(nanoseconds(extra.connect)).map_err(|()| "connect")?;
    options.set_first_byte_timeout(nanoseconds(extra.first_byte)).map_err(|()| "first byte")?;
    options.set_between_bytes_timeout(nanoseconds(extra.between_bytes)).map_err(|()| "between bytes")?;
    let body = request.body().map_err(|()| "no body")?;
    if let Some(text) = &extra.body {
        let stream = body.write().map_err(|()| "no stream")?;
        stream.blocking_write_and_flush(text.as_bytes()).map_err(|error| format!("{error:?}"))?;
    }
    let response = handle(request, Some(options)).map_err(|code| format!("{code:?}"))?;
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    Ok(response)
}

fn wait(response: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    loop {
        match response.get() {
            None => response.subscribe().block(),
            Some(Err(())) => return Err("taken already".to_owned()),
            Some(Ok(result)) => return result.map_err(|code| format!("{code:?}")),
        }
    }
}

fn read(response: &IncomingResponse, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    let body: IncomingBody = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => take(&chunk),
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match wasip2::http::types::http_error_code(&error) {
                    Some(code) => format!("{code:?}"),
                    None => error.to_debug_string(),
                });
            }
        }
    }
}

fn answer(response: &IncomingResponse) -> Result<Answer, String> {
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let mut body = Vec::new();
    read(response, |chunk| body.extend_from_slice(chunk))?;
    Ok(Answer { status: response.status(), headers, body: String::from_utf8_lossy(&body).into_owned() })
}
