//! Calling a task: from the request to one call, and from its end to the response.
//!
//! Three ways lead to a function: its URL, the URL of a task that has just one, and a route from
//! the task's manifest. They differ in how the function is found and meet in [`answer`]. How a call
//! is queued and run is not known here; dropping the handler's future is what stops it.

use super::access::permit;
use super::error::Context;
use super::id::CallId;
use super::inflow::Inflow;
use super::profiles::{self, Profiling};
use super::streams::{self, Place, Visitor};
use super::{Gateway, answer as write, body, calls, manage, negotiate, prefer, probes, query, tasks, timing};
use crate::access::Need;
use crate::error::{Error, Kind};
use crate::exchange::{Exchange, StreamCall};
use crate::invoke::{Call, Finished, Visit};
use crate::registry::{RouteMatch, Snapshot, Task};
use crate::runtime::{Answer, Observed};
use crate::task::{self, Arguments, Format, TaskName, Timing};
use crate::traces;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use std::borrow::Cow;
use std::sync::Arc;

/// Which version of which task answered: `name@digest`.
const UNBLOCK_TASK: HeaderName = HeaderName::from_static("unblock-task");

/// Below a task this segment is the gateway's, whatever functions the task has.
const RESERVED_SEGMENT: &str = "-";

/// Longest task or function segment that is looked up, in bytes: far above any name there is, far
/// below what comparing it with all names would cost.
const SEGMENT_BYTES_MAX: usize = 1024;

/// How much of a path a problem repeats, in characters.
const QUOTE_CHARS_MAX: usize = 200;

/// A function that a request means, and the arguments its path carries.
struct Asked {
    task: Arc<Task>,
    function: usize,
    /// The manifest's route that led here.
    route: Option<Arc<str>>,
    pairs: Vec<(String, String)>,
}

/// A request that means no function.
struct Missing {
    error: Error,
    task: Option<TaskName>,
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Self { error, task: None }
    }
}

/// What a task that has functions serves below its name, and at its name.
const METHODS: &str = "GET,HEAD,POST";

/// What every task serves at its name.
const METHODS_ITSELF: &str = "GET,HEAD,POST,PUT,DELETE";

/// `/tasks/{task}`: `GET` describes it, `PUT` and `DELETE` change it, `POST` calls its only function or
/// hands it a request.
pub async fn task_itself(
    state: State<Arc<Gateway>>,
    call: Extension<CallId>,
    request: Request,
) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => tasks::describe(state, call, request).await,
        Method::PUT | Method::DELETE => manage::change(state.0, call.0, request).await,
        _ => below(state, call, request).await,
    }
}

/// Any path that the gateway does not serve itself.
pub async fn anywhere(
    state: State<Arc<Gateway>>,
    call: Extension<CallId>,
    request: Request,
) -> Response<Body> {
    let below_task = request.uri().path().strip_prefix("/tasks/").and_then(|rest| rest.find('/'));
    if below_task.is_some_and(|name_bytes| name_bytes > 0) {
        below(state, call, request).await
    } else {
        route(state, call, request).await
    }
}

/// `/tasks/{task}/…`: a function of the task, or whatever a task of streams makes of it.
async fn below(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path();
    if let Some((name, page)) = own_page(path) {
        return own(&gateway, &call, &request, name, page);
    }
    if let Err(error) = permit(&gateway, request.extensions(), Need::Call(&name(path))) {
        return Context::of(&call).respond(&error);
    }
    let snapshot = gateway.registry.snapshot();
    if let Some(task) = streaming(&snapshot, path) {
        let place = Place::below(&task, path);
        return streams::answer(&gateway, &call, task, place, request).await;
    }
    match *request.method() {
        Method::GET | Method::HEAD | Method::POST => {
            let found = find(&snapshot, path);
            answer(&gateway, call, found, request).await
        }
        // Nothing is there, by no method.
        _ if reserved(path) => Context::of(&call).respond(&unknown_path(path)),
        Method::OPTIONS => options(methods(path)),
        _ => Context::of(&call).respond(&other_method(request.method(), methods(path))),
    }
}

/// What is served at a path `/tasks/{task}…` of a task that has functions.
fn methods(path: &str) -> &'static str {
    let itself = path.strip_prefix("/tasks/").is_some_and(|name| !name.contains('/'));
    if itself { METHODS_ITSELF } else { METHODS }
}

/// The name in a path `/tasks/{task}…`, as the registry would look it up; empty if it can be none.
pub fn name(path: &str) -> Cow<'_, str> {
    let below = path.strip_prefix("/tasks/").unwrap_or_default();
    query::segment(below.split('/').next().unwrap_or_default()).unwrap_or_default()
}

/// What the gateway itself shows of a task, for holders of `read`.
type Page = fn(&Gateway, &Task, &Request) -> Result<Response<Body>, Error>;

/// The task's path and the page that a path `/tasks/{task}/-/{page}` means.
fn own_page(path: &str) -> Option<(&str, Page)> {
    let (task, page) = path.split_once("/-/")?;
    let page: Page = match page {
        "calls" => calls::of_task,
        "profile" => profiles::of_task,
        _ => return None,
    };
    task.strip_prefix("/tasks/").filter(|name| !name.contains('/')).map(|_| (task, page))
}

fn own(gateway: &Gateway, call: &CallId, request: &Request, task_path: &str, page: Page) -> Response<Body> {
    const METHODS: &str = "GET,HEAD";
    let shown = match *request.method() {
        Method::GET | Method::HEAD => permit(gateway, request.extensions(), Need::Read)
            .and_then(|()| task(&gateway.registry.snapshot(), task_path))
            .and_then(|task| page(gateway, &task, request)),
        Method::OPTIONS => Ok(options(METHODS)),
        ref other => Err(other_method(other, METHODS)),
    };
    shown.unwrap_or_else(|error| Context::of(call).respond(&error))
}

/// Whether a path `/tasks/{task}…` is the gateway's own below a task.
fn reserved(path: &str) -> bool {
    path.split('/').nth(3) == Some(RESERVED_SEGMENT)
}

/// The task that a path `/tasks/{task}…` names, if it takes requests as they come.
fn streaming(snapshot: &Snapshot, path: &str) -> Option<Arc<Task>> {
    let below = path.strip_prefix("/tasks/")?;
    let name = below.split('/').next()?;
    let task = snapshot.task(&query::segment(name).ok()?).ok()?;
    (task.prepared.kind.streams() && !reserved(path)).then(|| Arc::clone(task))
}

/// A manifest's route, or nothing.
async fn route(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    request: Request,
) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    let found = gateway.registry.snapshot().route(method.as_str(), path);
    if let RouteMatch::Found { task, .. } = &found
        && let Err(error) = permit(&gateway, request.extensions(), Need::Call(task.name.as_str()))
    {
        return Context::of(&call).respond(&error);
    }
    let error = match found {
        RouteMatch::Found { task, function: Some(function), path, pairs } => {
            let asked = Asked { task, function, route: Some(path), pairs };
            return answer(&gateway, call, Ok(asked), request).await;
        }
        RouteMatch::Found { task, function: None, path: route, pairs } => {
            let place = Place::route(path, route, pairs);
            return streams::answer(&gateway, &call, task, place, request).await;
        }
        RouteMatch::MethodNotAllowed { allow } if method == Method::OPTIONS => {
            return options(&allow.join(","));
        }
        RouteMatch::MethodNotAllowed { allow } => other_method(method, &allow.join(",")),
        RouteMatch::None if method == Method::OPTIONS && path == "*" => return probes::no_content(),
        // It may be the route of a task that is not loaded yet.
        RouteMatch::None if !gateway.registry.ready() => {
            Error::new(Kind::Loading, "the tasks folder is still being loaded; try again")
        }
        RouteMatch::None => unknown_path(path),
    };
    Context::of(&call).respond(&error)
}

/// The task a path `/tasks/{task}` names.
///
/// # Errors
/// `unknown-task`, `bad-module`; `unknown-path` for what can be no name.
pub fn task(snapshot: &Snapshot, path: &str) -> Result<Arc<Task>, Error> {
    let name = segments(path)?.0;
    snapshot.task(&name).map(Arc::clone)
}

/// The function a path `/tasks/{task}/{function}` or `/tasks/{task}` names.
fn find(snapshot: &Snapshot, path: &str) -> Result<Asked, Missing> {
    let (task, function) = segments(path)?;
    let task = Arc::clone(snapshot.task(&task)?);
    match task.prepared.find(function.as_deref()) {
        Ok(function) => Ok(Asked { task, function, route: None, pairs: Vec::new() }),
        Err(error) => Err(Missing { error, task: Some(task.name.clone()) }),
    }
}

/// The decoded segments of a path under `/tasks/`.
fn segments(path: &str) -> Result<(Cow<'_, str>, Option<Cow<'_, str>>), Error> {
    let rest = path.strip_prefix("/tasks/").unwrap_or_default();
    let (task, function) =
        rest.split_once('/').map_or((rest, None), |(task, function)| (task, Some(function)));
    let plain = |raw: &&str| !raw.contains('/') && raw.len() <= SEGMENT_BYTES_MAX;
    let readable = |raw| Some(raw).filter(plain).and_then(|raw| query::segment(raw).ok());
    match (readable(task), function, function.and_then(readable)) {
        (Some(task), None, _) => Ok((task, None)),
        (Some(task), Some(_), Some(function)) if function != RESERVED_SEGMENT => Ok((task, Some(function))),
        _ => Err(unknown_path(path)),
    }
}

fn options(allow: &str) -> Response<Body> {
    let mut response = probes::no_content();
    if let Ok(value) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

fn other_method(method: &Method, allow: &str) -> Error {
    let mut error = Error::new(Kind::MethodNotAllowed, format!("found {method}, expected one of: {allow}"));
    error.allow = Some(allow.to_owned());
    error
}

fn unknown_path(path: &str) -> Error {
    let quoted: String = path.chars().take(QUOTE_CHARS_MAX).collect();
    Error::new(
        Kind::UnknownPath,
        format!(
            "found {quoted:?}, expected /tasks, /tasks/{{task}}/{{function}} or a route of a task; GET /tasks lists them"
        ),
    )
}

/// Runs what was asked for and writes its response.
async fn answer(
    gateway: &Gateway,
    call: CallId,
    found: Result<Asked, Missing>,
    request: Request,
) -> Response<Body> {
    let asked = match found {
        Ok(asked) => asked,
        Err(Missing { error, task }) => {
            let task = task.as_ref().map(TaskName::as_str);
            return Context { task, ..Context::of(&call) }.respond(&error);
        }
    };
    let task = Arc::clone(&asked.task);
    let function = task.prepared.functions.get(asked.function).map(|function| function.name.as_str());
    let context = Context { call: &call, task: Some(task.name.as_str()), function };
    let (parts, body) = request.into_parts();
    let trace = gateway.traces.as_ref().map(|traces| {
        // A task with one function has its name for a route of its own.
        let named =
            function.filter(|_| parts.uri.path().split('/').nth(3).is_some_and(|name| !name.is_empty()));
        let route = asked.route.as_deref().map_or_else(|| place(&task, named), str::to_owned);
        traces.begin(&of_trace(&parts, &route, &call, &task.version(), function))
    });
    let mut ran = None;
    let result = run(gateway, &context, asked, (parts, body), trace.as_ref(), &mut ran).await;
    let mut response = result.unwrap_or_else(|error| {
        if let Some(trace) = &trace {
            trace.failed(error.kind.slug());
        }
        context.respond(&error)
    });
    if let Some(trace) = &trace {
        trace.answered(response.status().as_u16());
    }
    describe(response.headers_mut(), &task, ran);
    response
}

/// The path that leads to a function of a task, or to the task.
fn place(task: &Task, function: Option<&str>) -> String {
    match function {
        Some(function) => format!("/tasks/{}/{function}", task.name),
        None => format!("/tasks/{}", task.name),
    }
}

/// What the trace of a call begins with.
pub fn of_trace<'a>(
    parts: &'a Parts,
    route: &'a str,
    call: &'a CallId,
    task: &'a str,
    function: Option<&'a str>,
) -> traces::Asked<'a> {
    traces::Asked {
        method: &parts.method,
        headers: &parts.headers,
        version: parts.version,
        tls: streams::under_tls(parts),
        route,
        id: call.as_str(),
        task,
        function,
    }
}

/// What a call that was made says on its response, beside the result.
struct Ran {
    timing: Timing,
    applied: Option<HeaderValue>,
}

/// Checks what can be checked before a byte of the body is read, reads it, and makes the call.
async fn run(
    gateway: &Gateway,
    context: &Context<'_>,
    asked: Asked,
    (parts, body): (Parts, Body),
    trace: Option<&traces::Call>,
    ran: &mut Option<Ran>,
) -> Result<Response<Body>, Error> {
    let Asked { task, function: index, mut pairs, .. } = asked;
    let prepared = Arc::clone(&task.prepared);
    let Some(function) = prepared.functions.get(index) else {
        return Err(Error::internal(anyhow::anyhow!("task {} has no function {index}", task.name)));
    };
    let (profiling, profiled) = Profiling::of(gateway, &parts.headers, &parts.extensions)?.unzip();
    let format = match profiling {
        // Nobody gets to see the result.
        Some(_) => Format::Natural,
        None => negotiate::format(&parts.headers, function.answer, function.raw_answer)?,
    };
    query::pairs(parts.uri.query(), &mut pairs)?;
    let wait = prefer::wait(&parts.headers);
    let visitor = Visitor::of(&parts.headers, Some(&function.name));
    let observed = Observed::of(Arc::clone(&context.call.0)).traced(trace.cloned());
    // The charge for the body is held until the call ends.
    let (body, _charge) = if function.body_stream.is_some() && body::flows(&parts.headers, &body)? {
        let complaint = visitor.complaint.clone();
        let (limits, settings) = (&task.limits, &gateway.settings);
        let body = Inflow::open(&parts.headers, body, limits, settings, complaint, observed.clone()).await?;
        (task::Body::Stream(body), None)
    } else {
        body::read(&parts.headers, body, &task.limits, &gateway.settings, gateway.invoker.memory()).await?
    };
    let arguments = Arguments { pairs, body };
    if function.answer == Answer::Stream {
        let exchange = Exchange::Call(StreamCall { function: index, arguments });
        let bodiless = parts.method == Method::HEAD;
        let visit = Visit { task, exchange, bodiless, wait, observed, profiled };
        let mut response = streams::visited(gateway, context.call, visitor, visit, profiling).await;
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, write::NO_SNIFF);
        return Ok(response);
    }
    let call = Call { task, function: index, arguments, format, wait, observed, profiled };
    let Finished { result, timing } = gateway.invoker.call(call).await;
    *ran = Some(Ran { timing, applied: wait.and_then(prefer::applied) });
    // A client that broke its body off is told so, whatever the guest made of it.
    let result = result.map_err(|error| visitor.complaint.take().unwrap_or(error));
    match profiling {
        Some(profiling) => profiling.told(gateway, context, result, &timing),
        None => result.and_then(|output| write::write(output, gateway.invoker.memory())),
    }
}

/// Says which version answered.
pub fn name_version(headers: &mut HeaderMap, task: &Task) {
    if let Ok(version) = HeaderValue::from_maybe_shared(bytes::Bytes::from(task.version())) {
        headers.insert(UNBLOCK_TASK, version);
    }
}

fn describe(headers: &mut HeaderMap, task: &Task, ran: Option<Ran>) {
    name_version(headers, task);
    let Some(Ran { timing, applied }) = ran else { return };
    if let Some(timing) = timing::header(&timing) {
        headers.insert(timing::SERVER_TIMING, timing);
    }
    if let Some(applied) = applied {
        headers.insert(prefer::PREFERENCE_APPLIED, applied);
    }
}
