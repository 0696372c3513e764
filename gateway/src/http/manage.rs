//! `PUT` and `DELETE /tasks/{task}`: what is served, changed over HTTP by those who may.
//!
//! Reads the body within its bounds and hands it to the registry, which takes it whole or not at all.
//! Every such request leaves one line for auditors, also one that was refused: who, what, from where, and
//! how it ended; never a token, never a body. How a module is judged is not known here.

use super::access::permit;
use super::client::Client;
use super::error::{Context, status};
use super::id::CallId;
use super::{Gateway, body, query, tasks};
use crate::access::{Holder, Need};
use crate::error::{Error, Kind};
use crate::limits::Limits;
use crate::registry::{Change, Changed, Condition, MANIFEST_BYTES_MAX, Module, What};
use crate::runtime::Charge;
use crate::task::{Body as Sent, Part, TaskName};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use std::sync::Arc;

/// How a module in binary form starts.
const WASM_MAGIC: &[u8] = b"\0asm";

/// Media types of modules and manifests.
const WASM: &str = "application/wasm";
const WAT: &str = "text/wat";
const TOML: &str = "application/toml";

/// The parts of a form.
const MODULE_PART: &str = "module";
const MANIFEST_PART: &str = "manifest";

/// Whether a request is to change what is served.
pub fn meant(method: &Method, path: &str) -> bool {
    (*method == Method::PUT || *method == Method::DELETE)
        && path.strip_prefix("/tasks/").is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// Who did what, for the line that tells of it.
pub struct Actor {
    call: CallId,
    action: &'static str,
    task: String,
    holder: Option<Arc<Holder>>,
    client: Option<Client>,
}

impl Actor {
    /// Whoever sent a request, as far as that is known.
    pub fn of<B>(call: &CallId, request: &axum::http::Request<B>) -> Self {
        let name = request.uri().path().strip_prefix("/tasks/").unwrap_or_default();
        // It is checked to be a name only later, and a line has its bounds.
        let task =
            query::segment(name).unwrap_or_default().chars().take(crate::task::NAME_BYTES_MAX).collect();
        Self {
            call: call.clone(),
            action: if *request.method() == Method::DELETE { "delete" } else { "put" },
            task,
            holder: request.extensions().get::<Arc<Holder>>().cloned(),
            client: request.extensions().get::<Client>().copied(),
        }
    }

    /// Writes the line.
    pub fn audit(&self, result: Result<&Changed, &Error>) {
        let (outcome, code) = match result {
            Ok(changed) => {
                (if changed.task.is_some() { "served" } else { "deleted" }, answer_status(changed))
            }
            Err(error) => (error.kind.slug(), status(error.kind)),
        };
        let before = result.ok().and_then(|changed| changed.before.as_deref());
        let after = result.ok().and_then(|changed| changed.task.as_ref()).map(|task| task.tag.as_str());
        let Self { call, action, task, holder, client } = self;
        let id = holder.as_ref().map_or("-", |holder| &*holder.id);
        let name = holder.as_ref().and_then(|holder| holder.name.as_deref());
        let proxy = client.and_then(|client| client.proxy()).map(|proxy| proxy.to_string());
        let client = client.map(|client| client.to_string()).unwrap_or_default();
        tracing::info!(
            target: crate::telemetry::AUDIT,
            action,
            task.name = task.escape_debug().to_string(),
            task.before = before,
            task.after = after,
            outcome,
            status = code.as_u16(),
            token.id = id,
            token.name = name,
            client.address = client,
            proxy.address = proxy,
            call.id = call.as_str(),
            "{action} of task {:?} by token {id} from {client}: {outcome}", task
        );
    }
}

fn answer_status(changed: &Changed) -> StatusCode {
    match (&changed.task, changed.created) {
        (None, _) => StatusCode::NO_CONTENT,
        (Some(_), true) => StatusCode::CREATED,
        (Some(_), false) => StatusCode::OK,
    }
}

/// `PUT` and `DELETE /tasks/{task}`
pub async fn change(gateway: Arc<Gateway>, call: CallId, request: Request) -> Response<Body> {
    let actor = Actor::of(&call, &request);
    let made = async {
        permit(&gateway, request.extensions(), Need::Manage)?;
        if gateway.draining() {
            return Err(Error::new(Kind::Draining, "the gateway is shutting down"));
        }
        wish(&gateway, request).await
    };
    let (change, charge) = match made.await {
        Ok(made) => made,
        Err(error) => {
            actor.audit(Err(&error));
            return Context::of(&call).respond(&error);
        }
    };
    let name = change.name.clone();
    // A task of its own: what was begun is ended and told, whether or not the caller stays.
    let ending = tokio::spawn(async move {
        let result = gateway.registry.change(change).await;
        drop(charge);
        actor.audit(result.as_ref());
        result
    });
    let result = ending.await.unwrap_or_else(|cause| Err(Error::internal(cause)));
    match result {
        Ok(changed) => answer(&changed),
        Err(error) => Context { task: Some(name.as_str()), ..Context::of(&call) }.respond(&error),
    }
}

fn answer(changed: &Changed) -> Response<Body> {
    let mut response = match &changed.task {
        Some(task) => tasks::description(task),
        None => Response::new(Body::empty()),
    };
    *response.status_mut() = answer_status(changed);
    if let Some(task) = changed.task.as_ref().filter(|_| changed.created)
        && let Ok(place) = HeaderValue::from_str(&format!("/tasks/{}", task.name))
    {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// Names the version of a task that a description is of.
pub fn tag(headers: &mut HeaderMap, tag: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        headers.insert(ETAG, value);
    }
}

/// What the request wants. What comes with it is the charge for its body.
async fn wish(gateway: &Gateway, request: Request) -> Result<(Change, Option<Charge>), Error> {
    let (parts, body) = request.into_parts();
    let segment = parts.uri.path().strip_prefix("/tasks/").unwrap_or_default();
    let name =
        query::segment(segment).map_err(|error| error.to_string()).and_then(|name| TaskName::new(&name));
    let name = name.map_err(|message| Error::new(Kind::BadArguments, message))?;
    let condition = condition(&parts.headers)?;
    if parts.method == Method::DELETE {
        return Ok((Change { name, what: What::Delete, condition }, None));
    }
    let most = gateway.registry.module_bytes_max().saturating_add(MANIFEST_BYTES_MAX);
    let limits = Limits { input: most, ..Limits::default() };
    let read = body::read(&parts.headers, body, &limits, &gateway.settings, gateway.invoker.memory()).await;
    let (sent, charge) = read.map_err(|mut error| {
        if error.kind == Kind::InputTooLarge {
            error.detail =
                "found a body that is over the largest module, expected a smaller one; --max-module says how large".to_owned();
        }
        error
    })?;
    let (module, manifest) = match sent {
        Sent::Form(parts) => form(parts)?,
        Sent::Bytes { content_type, bytes } => document(content_type.as_deref(), bytes)?,
        Sent::Empty | Sent::Stream(_) => {
            return Err(Error::new(Kind::BadArguments, "found no body, expected a module or a manifest"));
        }
    };
    Ok((Change { name, what: What::Put { module, manifest }, condition }, charge))
}

type Files = (Option<Module>, Option<Bytes>);

/// A module or a manifest, as its media type says; a module in binary form speaks for itself.
fn document(content_type: Option<&str>, bytes: Bytes) -> Result<Files, Error> {
    let stated = content_type.unwrap_or_default();
    match stated.split(';').next().unwrap_or_default().trim() {
        TOML => Ok((None, Some(bytes))),
        _ if bytes.starts_with(WASM_MAGIC) => Ok((Some(Module { bytes, text: false }), None)),
        WAT => Ok((Some(Module { bytes, text: true }), None)),
        _ => Err(Error::new(
            Kind::UnsupportedMediaType,
            format!(
                "found Content-Type {stated:?} and no module in binary form, expected {WASM}, {WAT} or {TOML}, or a \
                 form with the parts {MODULE_PART} and {MANIFEST_PART}"
            ),
        )),
    }
}

fn form(parts: Vec<Part>) -> Result<Files, Error> {
    let (mut module, mut manifest) = (None, None);
    for part in parts {
        match part.name.as_str() {
            MODULE_PART if module.is_none() => {
                let text = !part.bytes.starts_with(WASM_MAGIC);
                module = Some(Module { bytes: part.bytes, text });
            }
            MANIFEST_PART if manifest.is_none() => manifest = Some(part.bytes),
            other => {
                return Err(Error::new(
                    Kind::BadArguments,
                    format!(
                        "found the part {other:?}, expected {MODULE_PART} and {MANIFEST_PART}, each once at most"
                    ),
                ));
            }
        }
    }
    if module.is_none() && manifest.is_none() {
        return Err(Error::new(Kind::BadArguments, "found an empty form, expected a module or a manifest"));
    }
    Ok((module, manifest))
}

/// What `If-Match` and `If-None-Match` ask for (RFC 9110, sections 13.1.1 and 13.1.2).
fn condition(headers: &HeaderMap) -> Result<Condition, Error> {
    let wrong = |name: &HeaderName, expected: &str| {
        Error::new(Kind::BadArguments, format!("found {name} with something else, expected {expected}"))
    };
    let lines = |name: &HeaderName| -> Option<Vec<String>> {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default().to_owned());
        Some(values.collect()).filter(|lines: &Vec<String>| !lines.is_empty())
    };
    match (lines(&IF_MATCH), lines(&IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::Any),
        (None, Some(lines)) if lines == ["*"] => Ok(Condition::Absent),
        (None, Some(_)) => Err(wrong(&IF_NONE_MATCH, "*")),
        (Some(_), Some(_)) => Err(wrong(&IF_MATCH, "it without If-None-Match")),
        (Some(lines), None) if lines == ["*"] => Ok(Condition::Present),
        (Some(lines), None) => {
            // Strong comparison: a weak tag is the tag of nothing. A tag of ours has no comma.
            let all = lines.join(",");
            let tags: Option<Vec<String>> = all
                .split(',')
                .map(|tag| tag.trim())
                .filter(|tag| !tag.is_empty() && !tag.starts_with("W/"))
                .map(|tag| Some(tag.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
                .collect();
            tags.map(Condition::Tags)
                .ok_or_else(|| wrong(&IF_MATCH, "* or entity tags such as \"3f2c9a1be077\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_task_itself_is_managed() {
        for (method, path, expected) in [
            (Method::PUT, "/tasks/sleep", true),
            (Method::DELETE, "/tasks/..%2f", true),
            (Method::POST, "/tasks/sleep", false),
            (Method::PUT, "/tasks/sleep/", false),
            (Method::PUT, "/tasks/sleep/f", false),
            (Method::PUT, "/tasks/", false),
            (Method::PUT, "/tasks", false),
        ] {
            assert_eq!(meant(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn conditions_are_read_strictly() {
        let read = |pairs: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, HeaderValue::from_static(value));
            }
            condition(&headers).map_err(|error| error.kind)
        };
        let tags = |tags: &[&str]| Ok(Condition::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(read(&[]), Ok(Condition::Any));
        assert_eq!(read(&[(IF_NONE_MATCH, "*")]), Ok(Condition::Absent));
        assert_eq!(read(&[(IF_MATCH, "*")]), Ok(Condition::Present));
        assert_eq!(read(&[(IF_MATCH, "\"a\", \"b.c\"")]), tags(&["a", "b.c"]));
        assert_eq!(read(&[(IF_MATCH, "\"a\""), (IF_MATCH, "\"b\"")]), tags(&["a", "b"]));
        assert_eq!(read(&[(IF_MATCH, "W/\"a\"")]), tags(&[]));
        for wrong in
            [&[(IF_MATCH, "a")][..], &[(IF_NONE_MATCH, "\"a\"")], &[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")]]
        {
            assert_eq!(read(wrong), Err(Kind::BadArguments), "{wrong:?}");
        }
    }

    #[test]
    fn a_body_is_taken_for_what_it_says_or_shows() {
        let read = |stated: Option<&str>, bytes: &'static [u8]| {
            document(stated, Bytes::from_static(bytes))
                .map(|(module, manifest)| (module.map(|module| module.text), manifest.is_some()))
                .map_err(|error| error.kind)
        };
        assert_eq!(read(None, b"\0asm\x01"), Ok((Some(false), false)));
        assert_eq!(read(Some("application/x-www-form-urlencoded"), b"\0asm"), Ok((Some(false), false)));
        assert_eq!(read(Some("text/wat; charset=utf-8"), b"(module)"), Ok((Some(true), false)));
        assert_eq!(read(Some("application/toml"), b""), Ok((None, true)));
        assert_eq!(read(Some("text/wat"), b"\0asm"), Ok((Some(false), false)));
        for stated in [None, Some("application/wasm")] {
            assert_eq!(read(stated, b"(module)"), Err(Kind::UnsupportedMediaType));
        }
    }
}
