//! Requests for guests of streams: `wasi:http` guests get the request as it came, commands get it as
//! a command line.
//!
//! What a proxy must take off a message is taken off here, in both directions (RFC 9110, 7.6.1). The
//! guest's answer is passed on as the guest wrote it; what fails before it is a problem, what fails
//! after its head breaks the body off and is logged. How a run is made is not known here.

use super::client::Client;
use super::error::Context;
use super::id::{CallId, X_REQUEST_ID};
use super::inflow::{Complaint, Inflow};
use super::profiles::{Profiling, UNBLOCK_PROFILE};
use super::{Gateway, prefer, query, trailers};
use crate::error::{Error, Kind};
use crate::exchange::{Command, Exchange, Printed, Stream};
use crate::invoke::{Finished, Late, Visit};
use crate::registry::Task;
use crate::runtime::Observed;
use crate::task;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, Version};
use std::sync::Arc;

/// Fields that concern one connection alone, beside those that `Connection` names. `Trailer` is none of
/// them: without it the server sends no trailers.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Tells the guest under which path it is reached, for the links it makes.
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The query parameter whose values are a command's further arguments.
const ARGUMENT: &str = "arg";

/// The task's place in a request's path.
pub struct Place {
    /// The path that leads to the task; empty for a route.
    pub prefix: String,
    /// What follows, as it came: it starts with `/`.
    pub rest: String,
    /// What of the path is the same for all requests, with the names of parameters for the rest.
    pub route: Arc<str>,
    /// The parameters of a route's path, decoded.
    pub pairs: Option<Vec<(String, String)>>,
}

impl Place {
    /// Below `/tasks/NAME`.
    pub fn below(task: &Task, path: &str) -> Self {
        let prefix = format!("/tasks/{}", task.name);
        let rest = path.strip_prefix("/tasks/").unwrap_or_default();
        let rest = rest.split_once('/').map_or_else(|| "/".to_owned(), |(_, rest)| format!("/{rest}"));
        let route = format!("{prefix}/{{*path}}").into();
        Self { prefix, rest, route, pairs: None }
    }

    /// At a manifest's route.
    pub fn route(path: &str, route: Arc<str>, pairs: Vec<(String, String)>) -> Self {
        Self { prefix: String::new(), rest: path.to_owned(), route, pairs: Some(pairs) }
    }
}

/// Serves one request.
pub async fn answer(
    gateway: &Gateway,
    call: &CallId,
    task: Arc<Task>,
    place: Place,
    request: Request,
) -> Response<Body> {
    let bodiless = request.method() == Method::HEAD;
    let wait = prefer::wait(request.headers());
    let visitor = Visitor::of(request.headers(), None);
    let (parts, body) = request.into_parts();
    let trace = gateway.traces.as_ref().map(|traces| {
        traces.begin(&super::invoke::of_trace(&parts, &place.route, call, &task.version(), None))
    });
    let observed = Observed::of(Arc::clone(&call.0)).traced(trace.clone());
    let ready = match Profiling::of(gateway, &parts.headers, &parts.extensions) {
        Ok(profiling) => {
            exchange(gateway, call, &task, &place, (parts, body), (&visitor.complaint, &observed))
                .await
                .map(|exchange| (exchange, profiling.unzip()))
        }
        Err(error) => Err(error),
    };
    let response = match ready {
        Ok((exchange, (profiling, profiled))) => {
            let visit = Visit { task, exchange, bodiless, wait, observed, profiled };
            visited(gateway, call, visitor, visit, profiling).await
        }
        Err(error) => {
            if let Some(trace) = &trace {
                trace.failed(error.kind.slug());
            }
            context(call, &task, None).respond(&error)
        }
    };
    if let Some(trace) = trace {
        trace.answered(response.status().as_u16());
    }
    response
}

/// Who asks, as far as the answer depends on it.
pub struct Visitor<'a> {
    function: Option<&'a str>,
    trailers: bool,
    /// Where the request's body says what was wrong with it.
    pub complaint: Complaint,
}

impl<'a> Visitor<'a> {
    /// Who sent these fields; `function` is what is called, where it is one.
    pub fn of(headers: &HeaderMap, function: Option<&'a str>) -> Self {
        Self { function, trailers: trailers::accepted(headers), complaint: Complaint::default() }
    }
}

/// Makes a visit and passes its answer on, or its profile.
pub async fn visited(
    gateway: &Gateway,
    call: &CallId,
    visitor: Visitor<'_>,
    visit: Visit,
    profiling: Option<Profiling>,
) -> Response<Body> {
    let Visitor { function, trailers, complaint } = visitor;
    let (task, wait) = (Arc::clone(&visit.task), visit.wait);
    let Finished { result, timing } = gateway.invoker.exchange(visit, late(call, &task, function)).await;
    if let Some(profiling) = profiling {
        let context = context(call, &task, function);
        let result = result.map_err(|error| complaint.take().unwrap_or(error));
        let told = profiling.flowed(gateway, &context, result, &timing).await;
        let mut response = told.unwrap_or_else(|error| context.respond(&error));
        super::invoke::name_version(response.headers_mut(), &task);
        return response;
    }
    let result = result.and_then(|response| {
        // 1xx is the connection's; a guest that sends it as its answer has none.
        match response.status().is_informational() {
            true => Err(Error::new(
                Kind::BadResponse,
                format!(
                    "the guest answered with status {}, expected 200 or more",
                    response.status().as_u16()
                ),
            )),
            false => Ok(response),
        }
    });
    let mut response = match result {
        Ok(response) if trailers => trailers::told(response, call),
        Ok(response) => response.map(Body::new),
        // A client that broke its body off is told so, whatever the guest made of it.
        Err(error) => context(call, &task, function).respond(&complaint.take().unwrap_or(error)),
    };
    let headers = response.headers_mut();
    take_off(headers);
    if let Some(applied) = wait.and_then(prefer::applied) {
        headers.insert(prefer::PREFERENCE_APPLIED, applied);
    }
    super::invoke::name_version(headers, &task);
    response
}

fn context<'a>(call: &'a CallId, task: &'a Task, function: Option<&'a str>) -> Context<'a> {
    Context { task: Some(task.name.as_str()), function, ..Context::of(call) }
}

/// Logs what fails after the head.
fn late(call: &CallId, task: &Arc<Task>, function: Option<&str>) -> Late {
    let (call, task, function) = (call.clone(), Arc::clone(task), function.map(str::to_owned));
    Arc::new(move |error| context(&call, &task, function.as_deref()).log(error))
}

/// The request in the guest's terms.
async fn exchange(
    gateway: &Gateway,
    call: &CallId,
    task: &Task,
    place: &Place,
    (mut parts, body): (Parts, Body),
    (complaint, observed): (&Complaint, &Observed),
) -> Result<Exchange, Error> {
    let (settings, complaint) = (&gateway.settings, complaint.clone());
    let body =
        Inflow::open(&parts.headers, body, &task.limits, settings, complaint, observed.clone()).await?;
    take_off(&mut parts.headers);
    parts.headers.remove(UNBLOCK_PROFILE);
    if let Some(id) = call.header() {
        parts.headers.insert(X_REQUEST_ID, id);
    }
    if let Some(trace) = observed.trace() {
        trace.write(&mut parts.headers);
    }
    match task.prepared.kind {
        task::Kind::Command => command(task, place, &parts, body),
        _ => Ok(Exchange::Http(passed_on(place, parts, body)?)),
    }
}

fn passed_on(place: &Place, mut parts: Parts, body: Stream) -> Result<axum::http::Request<Stream>, Error> {
    let target = match parts.uri.query() {
        Some(query) => format!("{}?{query}", place.rest),
        None => place.rest.clone(),
    };
    let target: PathAndQuery = target.parse().map_err(|cause| Error::internal(anyhow::Error::new(cause)))?;
    // HTTP/1.0 has no Host; the guest's interface wants one.
    let host = parts.headers.get(HOST).cloned().unwrap_or(HeaderValue::from_static("localhost"));
    let authority = host.to_str().ok().and_then(|host| host.parse().ok()).ok_or_else(|| {
        Error::new(
            Kind::BadArguments,
            "found a Host header that names no host, expected one such as example.com:8888",
        )
    })?;
    let mut uri = axum::http::uri::Parts::default();
    uri.scheme = Some(if under_tls(&parts) { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(authority);
    uri.path_and_query = Some(target);
    parts.uri = Uri::from_parts(uri).map_err(|cause| Error::internal(anyhow::Error::new(cause)))?;
    parts.headers.insert(HOST, host);
    if let Ok(prefix) = HeaderValue::from_str(&place.prefix)
        && !place.prefix.is_empty()
    {
        parts.headers.insert(X_FORWARDED_PREFIX, prefix);
    }
    Ok(axum::http::Request::from_parts(parts, body))
}

fn command(task: &Task, place: &Place, parts: &Parts, input: Stream) -> Result<Exchange, Error> {
    let printed = task.printed.clone();
    let mut arguments = vec![task.name.to_string()];
    let mut variables = Vec::new();
    if printed == Printed::Cgi {
        variables = cgi_variables(task, place, parts)?;
    } else {
        arguments.extend(path_arguments(place)?);
        let mut pairs = Vec::new();
        query::pairs(parts.uri.query(), &mut pairs)?;
        for (name, value) in pairs {
            if name != ARGUMENT {
                return Err(Error::new(
                    Kind::BadArguments,
                    format!(
                        "found the query parameter {name:?}, expected {ARGUMENT}=… for each further argument"
                    ),
                ));
            }
            arguments.push(value);
        }
    }
    let texts = arguments.iter().chain(variables.iter().map(|(_, value)| value));
    if let Some(bad) = texts.clone().find(|text| text.contains('\0')) {
        return Err(Error::new(
            Kind::BadArguments,
            format!("found the argument {bad:?}, expected none with a zero byte, which ends a C string"),
        ));
    }
    Ok(Exchange::Command(Command { arguments, variables, input, printed }))
}

/// Whether the client asked under TLS.
pub fn under_tls(parts: &Parts) -> bool {
    parts.extensions.get::<Client>().is_some_and(|client| client.tls)
}

/// The segments of the path below the task, or the parameters of its route.
fn path_arguments(place: &Place) -> Result<Vec<String>, Error> {
    if let Some(pairs) = &place.pairs {
        return Ok(pairs.iter().flat_map(|(_, value)| value.split('/')).map(str::to_owned).collect());
    }
    let path = place.rest.strip_prefix('/').unwrap_or(&place.rest);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(decoded).collect()
}

fn decoded(raw: &str) -> Result<String, Error> {
    query::segment(raw).map(std::borrow::Cow::into_owned).map_err(|_| {
        Error::new(Kind::BadArguments, format!("found {raw:?} in the path, expected percent-encoded UTF-8"))
    })
}

/// The request as RFC 3875, section 4.1, tells it.
fn cgi_variables(task: &Task, place: &Place, parts: &Parts) -> Result<Vec<(String, String)>, Error> {
    let text = |name: &HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (host, tls, client) = (text(&HOST), under_tls(parts), parts.extensions.get::<Client>());
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name.to_owned(), port.to_owned())
        }
        _ => (host.clone(), if tls { "443" } else { "80" }.to_owned()),
    };
    let protocol = match parts.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    let (script, path) = match &place.pairs {
        None => (place.prefix.clone(), decoded(&place.rest)?),
        Some(_) => (decoded(&place.rest)?, String::new()),
    };
    let mut variables: Vec<(String, String)> = [
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        ("REQUEST_METHOD", parts.method.to_string()),
        ("QUERY_STRING", parts.uri.query().unwrap_or_default().to_owned()),
        ("CONTENT_TYPE", text(&CONTENT_TYPE)),
        ("CONTENT_LENGTH", text(&CONTENT_LENGTH)),
        ("SCRIPT_NAME", script),
        ("PATH_INFO", path),
        ("REMOTE_ADDR", client.map(|client| client.address.to_string()).unwrap_or_default()),
        ("SERVER_NAME", name),
        ("SERVER_PORT", port),
        ("SERVER_PROTOCOL", protocol.to_owned()),
        ("SERVER_SOFTWARE", concat!("unblock/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("UNBLOCK_TASK", task.version()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if tls {
        variables.push(("HTTPS".to_owned(), "on".to_owned()));
    }
    for name in parts.headers.keys() {
        // Told already, or a secret that section 4.1.18 leaves out; `Proxy` would be taken for the
        // variable that names a proxy ("httpoxy").
        if [CONTENT_TYPE, CONTENT_LENGTH, AUTHORIZATION].contains(name) || name == "proxy" {
            continue;
        }
        let values: Vec<&str> =
            parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let name = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        variables.push((name, values.join(", ")));
    }
    Ok(variables)
}

/// Removes what concerns one connection.
fn take_off(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_is_taken_off() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Hop"), ("x-hop", "1"), ("te", "trailers"), ("accept", "*/*")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        take_off(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_path_becomes_arguments() {
        let place = |rest: &str| Place {
            prefix: String::new(),
            rest: rest.to_owned(),
            route: "/".into(),
            pairs: None,
        };
        assert_eq!(path_arguments(&place("/")).expect("none"), Vec::<String>::new());
        assert_eq!(path_arguments(&place("/a/b%2Fc/%20")).expect("three"), ["a", "b/c", " "]);
    }
}
