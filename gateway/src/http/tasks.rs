//! What is loaded and what is not: the list of tasks, and the description of one.
//!
//! Read-only views of one snapshot, written so that a person finds the URL to call next and the
//! reason why something is missing. How a module is judged is not known here.

use super::Gateway;
use super::access::permit;
use super::answer::document;
use super::error::Context;
use super::id::CallId;
use super::{invoke, manage, query};
use crate::access::Need;
use crate::grants::{Grants, Target};
use crate::limits::{self, Limits};
use crate::registry::{Failure, Task};
use crate::runtime::{Function, Prepared};
use crate::task::TaskName;
use crate::values;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /tasks`
pub async fn list(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let snapshot = gateway.registry.snapshot();
    let tasks: Vec<Value> = snapshot.tasks.values().map(|task| summary(task)).collect();
    let failures: Vec<Value> = snapshot.failures.iter().map(failure).collect();
    document(&json!({ "tasks": tasks, "loading": snapshot.loading, "failures": failures }))
}

/// `GET /tasks/{task}`
pub async fn describe(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path();
    let name = invoke::name(path);
    let found = permit(&gateway, request.extensions(), Need::Describe(&name))
        .and_then(|()| invoke::task(&gateway.registry.snapshot(), path));
    match found {
        Ok(task) => description(&task),
        Err(error) => Context::of(&call).respond(&error),
    }
}

/// The description of one task, under the tag of its version.
pub fn description(task: &Task) -> Response<Body> {
    let mut response = document(&full(task));
    manage::tag(response.headers_mut(), &task.tag);
    response
}

fn summary(task: &Task) -> Value {
    let functions: Vec<Value> = task
        .prepared
        .functions
        .iter()
        .map(|function| {
            json!({
                "name": function.name,
                "url": url(&task.name, &task.prepared, function),
                "signature": function.signature(),
                "description": function.description,
            })
        })
        .collect();
    json!({
        "name": task.name.as_str(),
        "url": format!("/tasks/{}", task.name),
        "kind": task.prepared.kind.as_str(),
        "digest": &*task.prepared.digest,
        "description": task.prepared.description,
        "functions": functions,
        "routes": routes(task),
        "warnings": task.warnings,
    })
}

fn full(task: &Task) -> Value {
    let (prepared, figures) = (&task.prepared, &task.figures);
    let (errors, cancelled) = figures.with(|tally| (tally.errors, tally.cancelled));
    let functions: Vec<Value> =
        prepared.functions.iter().map(|function| explain(&task.name, prepared, function)).collect();
    let hidden: Vec<Value> = prepared
        .hidden
        .iter()
        .map(|hidden| json!({ "name": hidden.name, "reason": hidden.reason }))
        .collect();
    json!({
        "name": task.name.as_str(),
        "kind": prepared.kind.as_str(),
        "digest": &*prepared.digest,
        "tag": task.tag,
        "size": limits::bytes(prepared.size_bytes),
        "loaded": humantime::format_rfc3339_seconds(task.loaded).to_string(),
        "description": prepared.description,
        "functions": functions,
        "hidden": hidden,
        "routes": routes(task),
        "limits": ceilings(&task.limits),
        "memory_min": limits::bytes(prepared.memory_min),
        "grants": granted(&task.grants),
        "imports": prepared.imports,
        "warnings": task.warnings,
        "counts": {
            "calls": figures.calls(),
            "errors": errors,
            "cancelled": cancelled,
            "running": figures.running(),
        },
    })
}

fn explain(task: &TaskName, prepared: &Prepared, function: &Function) -> Value {
    json!({
        "name": function.name,
        "interface": function.interface,
        "url": url(task, prepared, function),
        "signature": function.signature(),
        "description": function.description,
        "params": values::params_schema(&function.params),
        "result": function.result.as_ref().map(values::schema),
        "error": function.error.as_ref().map(|shape| shape.as_ref().map(values::schema)),
        "raw_body": function.raw_body,
        "raw_answer": function.raw_answer,
    })
}

/// Where a function is called: under its plain name if that is enough.
fn url(task: &TaskName, prepared: &Prepared, function: &Function) -> String {
    let plain = prepared.functions.iter().filter(|other| other.name == function.name).count() == 1;
    let name = if plain { query::encode(&function.name) } else { query::encode(&function.full_name()) };
    format!("/tasks/{task}/{name}")
}

fn routes(task: &Task) -> Vec<Value> {
    let function =
        |index: Option<usize>| task.prepared.functions.get(index?).map(|function| function.name.as_str());
    task.routes
        .iter()
        .map(|route| json!({ "method": route.method, "path": route.path, "function": function(route.function) }))
        .collect()
}

fn ceilings(limits: &Limits) -> Value {
    json!({
        "wall": limits::duration(limits.wall),
        "cpu": limits::duration(limits.cpu),
        "memory": limits::bytes(limits.memory),
        "input": limits::bytes(limits.input),
        "output": limits::bytes(limits.output),
        "stream": limits.stream.map(limits::bytes),
        "concurrency": limits.concurrency,
        "queue": limits.queue,
        "queue_wait": limits::duration(limits.queue_wait),
        "weight": limits.weight,
    })
}

/// Names and places; values of variables and paths of this machine are nobody's business.
fn granted(grants: &Grants) -> Value {
    let targets = |targets: &[Target]| targets.iter().map(ToString::to_string).collect::<Vec<_>>();
    let dirs: Vec<Value> =
        grants.dirs.iter().map(|dir| json!({ "guest": dir.guest, "write": dir.write })).collect();
    json!({
        "env": grants.env.keys().collect::<Vec<_>>(),
        "dirs": dirs,
        "http": targets(&grants.http),
        "sockets": targets(&grants.sockets),
    })
}

/// Something that is not served, and why.
pub fn failure(failure: &Failure) -> Value {
    json!({
        "file": failure.file,
        "task": failure.task,
        "reason": failure.error.reason,
        "remedies": failure.error.remedies,
        "serving": failure.serving,
    })
}
