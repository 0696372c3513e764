//! A task's functions and routes as operations.
//!
//! One `match` over the kinds of tasks decides how a task is described. What a function takes and
//! answers is in `inputs.rs` and `outputs.rs`; what is unique over all tasks in `document.rs`.

use super::document::Builder;
use super::problems::{Place, task_error};
use super::{inputs, outputs, own, streams};
use crate::http::query;
use crate::registry::{Route, Task};
use crate::runtime::Function;
use crate::task::Kind;
use crate::values::{Shape, schema};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Types of a function with more parts than this are not written out; those people write have a few dozen.
const PARTS_MAX: usize = 2_000;

/// Methods that an OpenAPI path item knows and a route may have, and whether arguments come in a body.
const METHODS: [(&str, &str, bool); 6] = [
    ("GET", "get", false),
    ("HEAD", "head", false),
    ("DELETE", "delete", false),
    ("POST", "post", true),
    ("PUT", "put", true),
    ("PATCH", "patch", true),
];

/// How many operations [`add`] adds at most.
pub fn count(task: &Task) -> usize {
    if task.prepared.kind.streams() {
        return streams::count(task);
    }
    let own_url = 4;
    task.prepared.functions.len() * 2 + task.routes.len() + own_url
}

/// Adds all operations of a task.
pub fn add(builder: &mut Builder, task: &Task) {
    let description = task.prepared.description.as_deref().unwrap_or_default();
    builder.tag(task.name.as_str(), description);
    match task.prepared.kind {
        Kind::Component | Kind::CoreModule => functions(builder, task),
        Kind::Http => streams::guest(builder, task),
        Kind::Command => streams::command(builder, task),
    }
}

fn functions(builder: &mut Builder, task: &Task) {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for function in &task.prepared.functions {
        *uses.entry(&function.name).or_default() += 1;
    }
    for function in &task.prepared.functions {
        let twice = uses.get(function.name.as_str()).is_some_and(|uses| *uses > 1);
        let name = if twice { function.full_name() } else { function.name.clone() };
        let path = format!("/tasks/{}/{}", task.name, query::encode(&name));
        for (method, body) in [("get", false), ("post", true)] {
            let operation = call(task, function, &[], body);
            builder.operation(&path, method, &[task.name.as_str(), &name, method], operation);
        }
    }
    if let [function] = task.prepared.functions.as_slice() {
        let path = format!("/tasks/{}", task.name);
        builder.operation(&path, "get", &[task.name.as_str(), "describe"], own::describe(task.name.as_str()));
        builder.operation(&path, "post", &[task.name.as_str(), "call"], call(task, function, &[], true));
        own::managed(builder, task.name.as_str());
    }
    for route in &task.routes {
        if let Some(function) = route.function.and_then(|index| task.prepared.functions.get(index)) {
            add_route(builder, task, route, function);
        }
    }
}

fn add_route(builder: &mut Builder, task: &Task, route: &Route, function: &Function) {
    let Some((_, method, body)) = METHODS.iter().find(|(name, ..)| *name == route.method) else { return };
    let path = builder.path(&route.path);
    let in_path: Vec<(String, String)> = params(&route.path)
        .zip(params(&path))
        .map(|(own, shown)| (own.to_owned(), shown.to_owned()))
        .collect();
    let operation = call(task, function, &in_path, *body);
    builder.operation(&path, method, &[task.name.as_str(), "route", method, &route.path], operation);
}

/// The names of a path's parameters, from left to right.
fn params(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// A call of a function, whose arguments may come in a body.
fn call(task: &Task, function: &Function, in_path: &[(String, String)], body: bool) -> Map<String, Value> {
    let mut operation = Map::new();
    let mut put = |name: &str, value: Value| operation.insert(name.to_owned(), value);
    put("tags", json!([task.name.as_str()]));
    let large = parts(function) > PARTS_MAX;
    let doc = function.description.as_deref().unwrap_or_default().trim();
    put("summary", summary(doc, &function.name).into());
    let types = if large {
        format!("Its types are too large to be shown here: see `GET /tasks/{}`.", task.name)
    } else {
        format!("`{}: {}`", function.name, function.signature())
    };
    put("description", if doc.is_empty() { types } else { format!("{doc}\n\n{types}") }.into());
    if large {
        put("parameters", unnamed(in_path));
        if body {
            put("requestBody", json!({ "content": { "*/*": {} } }));
        }
    } else {
        let inputs = inputs::of(function, in_path, body);
        put("parameters", inputs.parameters.into());
        if let Some(body) = inputs.body {
            put("requestBody", body);
        }
    }
    let mut responses = Map::new();
    if large {
        responses.insert("2XX".to_owned(), json!({ "description": "The result.", "content": { "*/*": {} } }));
    } else {
        responses.extend(outputs::of(function));
    }
    responses.extend(Place::Call.responses());
    if let Some(error) = &function.error {
        let value = error.as_ref().filter(|_| !large).map(schema);
        responses.extend([task_error(value)]);
    }
    put("responses", responses.into());
    operation
}

fn unnamed(in_path: &[(String, String)]) -> Value {
    let parameter = |(_, shown): &(String, String)| json!({ "name": shown, "in": "path", "required": true, "schema": { "type": "string" } });
    in_path.iter().map(parameter).collect()
}

/// The first paragraph of a doc comment, which says in one line what a function does.
fn summary<'t>(doc: &'t str, name: &'t str) -> &'t str {
    let line = doc.lines().next().unwrap_or_default().trim();
    if line.is_empty() { name } else { line }
}

fn parts(function: &Function) -> usize {
    let inputs: usize = function.params.iter().map(|param| param.shape.parts()).sum();
    let result = function.result.as_ref().map_or(0, Shape::parts);
    let error = function.error.as_ref().and_then(Option::as_ref).map_or(0, Shape::parts);
    inputs + result + error
}
