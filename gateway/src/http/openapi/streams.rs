//! Tasks that take requests as they come, as operations: what is known of them is where they are.
//!
//! A `wasi:http` guest answers whatever it likes, so every status is its own; a command has its exit
//! code and the gateway's problems. How they are served is in `http/streams.rs`.

use super::document::Builder;
use super::problems::{Place, task_error};
use crate::exchange::Printed;
use crate::registry::{Route, Task};
use serde_json::{Map, Value, json};

/// Methods that an OpenAPI path item knows, and whether they bring a body: a guest may be asked with any.
/// `HEAD` goes without saying, as for every `GET`.
const METHODS: [(&str, bool); 7] = [
    ("get", false),
    ("post", true),
    ("put", true),
    ("patch", true),
    ("delete", false),
    ("options", false),
    ("trace", false),
];

/// The most operations that one task has.
pub fn count(task: &Task) -> usize {
    2 * METHODS.len() + task.routes.len() * METHODS.len()
}

/// Adds a `wasi:http` guest: everything below its path, and its routes.
pub fn guest(builder: &mut Builder, task: &Task) {
    let below = format!("/tasks/{}/{{path}}", task.name);
    paths(builder, task, &below, |body| {
        let mut operation = operation(task, "Is the task's own", body);
        operation.insert(
            "parameters".to_owned(),
            json!([segment("path", "What the task makes of it; may hold further `/`."), profile()]),
        );
        operation.insert(
            "responses".to_owned(),
            json!({ "default": whatever("What the task answered, or a problem.") }),
        );
        operation
    });
}

/// Adds a command: arguments from path and query, its input as the body.
pub fn command(builder: &mut Builder, task: &Task) {
    let arguments = json!({
        "name": "arg", "in": "query", "required": false, "style": "form", "explode": true,
        "description": "A further argument of the command; may be repeated.",
        "schema": { "type": "array", "items": { "type": "string", "pattern": "^[^\\u0000]*$" } },
    });
    let cgi = task.printed == Printed::Cgi;
    let responses = || -> Value {
        if cgi {
            return json!({ "default": whatever("What the program answered, or a problem.") });
        }
        let mut responses = Map::from_iter([("200".to_owned(), whatever("The command's standard output."))]);
        responses.extend(Place::Call.responses());
        responses.extend([task_error(Some(json!({
            "type": "object",
            "properties": { "exit_code": { "type": "integer" } },
            "required": ["exit_code"],
        })))]);
        responses.into()
    };
    let own = format!("/tasks/{}", task.name);
    builder.operation(
        &own,
        "get",
        &[task.name.as_str(), "describe"],
        super::own::describe(task.name.as_str()),
    );
    super::own::managed(builder, task.name.as_str());
    for (method, body) in
        METHODS.into_iter().filter(|(method, _)| !matches!(*method, "get" | "put" | "delete"))
    {
        let mut called = operation(task, "Runs the command", body);
        called.insert("parameters".to_owned(), json!([arguments, profile()]));
        called.insert("responses".to_owned(), responses());
        // As it was named when there was no other.
        let name = if method == "post" { "run" } else { method };
        builder.operation(&own, method, &[task.name.as_str(), name], called);
    }
    let below = format!("/tasks/{}/{{argument}}", task.name);
    paths(builder, task, &below, |body| {
        let mut operation = operation(task, "Runs the command with arguments", body);
        let argument = segment("argument", "The first argument; further segments are further arguments.");
        operation.insert("parameters".to_owned(), json!([argument, arguments, profile()]));
        operation.insert("responses".to_owned(), responses());
        operation
    });
}

/// The task's prefix and its routes, by every method that leads there.
fn paths(builder: &mut Builder, task: &Task, below: &str, operation: impl Fn(bool) -> Map<String, Value>) {
    for (method, body) in METHODS {
        builder.operation(below, method, &[task.name.as_str(), "below", method], operation(body));
    }
    for route in &task.routes {
        add_route(builder, task, route, &operation);
    }
}

fn add_route(
    builder: &mut Builder,
    task: &Task,
    route: &Route,
    operation: &impl Fn(bool) -> Map<String, Value>,
) {
    let plain = route.path.replace("{*", "{");
    let path = builder.path(&plain);
    for (method, body) in METHODS {
        if route.method != "ANY" && !route.method.eq_ignore_ascii_case(method) {
            continue;
        }
        let mut operation = operation(body);
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> =
            names.map(|name| segment(name, "Taken by the task.")).chain([profile()]).collect();
        operation.insert("parameters".to_owned(), parameters.into());
        builder.operation(&path, method, &[task.name.as_str(), &plain, method], operation);
    }
}

fn operation(task: &Task, summary: &str, body: bool) -> Map<String, Value> {
    let mut operation = Map::new();
    operation.insert("tags".to_owned(), json!([task.name.as_str()]));
    operation.insert("summary".to_owned(), summary.into());
    operation.insert("description".to_owned(), task.prepared.description.clone().unwrap_or_default().into());
    if body {
        operation.insert("requestBody".to_owned(), json!({ "content": { "*/*": {} } }));
    }
    operation
}

fn profile() -> Value {
    json!({ "$ref": "#/components/parameters/Unblock-Profile" })
}

fn segment(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "path", "required": true, "description": description,
        "schema": { "type": "string", "minLength": 1, "pattern": "^[^\\u0000/]+$", "not": { "const": "-" } },
    })
}

fn whatever(description: &str) -> Value {
    json!({ "description": description, "content": { "*/*": {} } })
}
