//! The gateway's own URLs as operations, and the schemas of what they answer.
//!
//! Written by hand beside the handlers' JSON (`http/tasks.rs`, `http/probes.rs`); a test holds both
//! together. It must not know what tasks are loaded.

use super::document::Builder;
use super::problems::{Place, task_error};
use crate::error::Kind;
use crate::observe::Outcome;
use crate::task::NAME_BYTES_MAX;
use serde_json::{Map, Value, json};

/// The group of these operations.
const TAG: &str = "Gateway";

/// Adds them.
pub fn add(builder: &mut Builder) {
    builder.tag(TAG, "The gateway itself: what is loaded, and whether it is well.");
    let text = |description: &str| ok("text/plain", json!({ "type": "string" }), description);
    for (path, id, summary, response) in [
        ("/", "hello", "Greets, and says the time in seconds; browsers get the live page", greeting()),
        ("/livez", "live", "Whether the process answers", text("It does.")),
        (
            "/problems",
            "problems",
            "Lists every kind of problem",
            text("A line per kind: its page and its title."),
        ),
        (
            "/tasks",
            "tasks",
            "What is loaded, and what failed to load and why",
            ok("application/json", schema("Tasks"), "The tasks."),
        ),
        (
            "/docs",
            "docs",
            "Shows this document to people",
            ok("text/html", json!({ "type": "string" }), "A page that can make calls."),
        ),
    ] {
        builder.operation(
            path,
            "get",
            &[id],
            operation(
                summary,
                vec![],
                vec![("200", response)],
                if path == "/tasks" { Place::Read } else { Place::Own },
            ),
        );
    }
    metrics(builder);
    let ready = [("200", text("Calls are welcome.")), ("503", text("Still loading, or shutting down."))];
    builder.operation(
        "/readyz",
        "get",
        &["ready"],
        operation("Whether calls are welcome", vec![], ready.into(), Place::Own),
    );
    let slugs: Vec<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
    let slug = json!({ "name": "slug", "in": "path", "required": true, "schema": { "type": "string", "enum": slugs } });
    let page = vec![("200", text("What happened, who has to act, and how."))];
    builder.operation(
        "/problems/{slug}",
        "get",
        &["problem"],
        operation("Explains a kind of problem", vec![slug], page, Place::Page),
    );
    let name = json!({
        "name": "task", "in": "path", "required": true, "description": "The task's name.",
        "schema": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": NAME_BYTES_MAX },
    });
    builder.operation("/tasks/{task}", "get", &["task"], description(TAG, vec![name.clone()]));
    calls(builder, &name);
    profile(builder, name.clone());
    state(builder);
    builder.operation("/tasks/{task}", "post", &["call"], only_function(name.clone()));
    let mut document = ok("application/json", json!({ "type": "object" }), "This document.");
    if let Some(headers) = document.get_mut("headers").and_then(Value::as_object_mut) {
        headers.insert("ETag".to_owned(), json!({ "$ref": "#/components/headers/ETag" }));
    }
    let unchanged = json!({
        "description": "The client has this document.",
        "headers": { "ETag": { "$ref": "#/components/headers/ETag" } },
    });
    let known = json!({ "$ref": "#/components/parameters/If-None-Match" });
    let responses = vec![("200", document), ("304", unchanged)];
    builder.operation(
        "/openapi.json",
        "get",
        &["openapi"],
        operation("What can be called, as an OpenAPI document", vec![known], responses, Place::Read),
    );
    builder.operation("/tasks/{task}", "put", &["put"], put(TAG, vec![name.clone()]));
    builder.operation("/tasks/{task}", "delete", &["delete"], delete(TAG, vec![name]));
}

/// The figures.
fn metrics(builder: &mut Builder) {
    let text = json!({ "schema": { "type": "string" } });
    let mut response =
        ok("text/plain", json!({ "type": "string" }), "The form of Prometheus, or OpenMetrics 1.0.0.");
    if let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) {
        content.insert("application/openmetrics-text".to_owned(), text);
    }
    let operation =
        operation("The gateway's figures, for Prometheus", vec![], vec![("200", response)], Place::Read);
    builder.operation("/metrics", "get", &["metrics"], operation);
}

/// The greeting, and what browsers get in its place.
fn greeting() -> Value {
    let mut greeting =
        ok("text/plain", json!({ "type": "string" }), "`Hello, world` and the seconds since 1970.");
    if let Some(content) = greeting.get_mut("content").and_then(Value::as_object_mut) {
        content.insert("text/html".to_owned(), json!({ "schema": { "type": "string" } }));
    }
    greeting
}

/// What happens.
fn state(builder: &mut Builder) {
    let now =
        vec![("200", ok("application/json", schema("State"), "The last sample, and the last two minutes."))];
    let now = operation("What happens now", vec![], now, Place::Read);
    builder.operation("/state", "get", &["state"], now);
    let description = "Server-sent events, without end: first `state` (the document of `/state`), then `tick` twice a second: \
        the same without `history` and `heat_bounds_ms`, with those tasks only that changed, and with `tasks_gone`. One who \
        has missed a tick gets `state` again.";
    let stream = ok("text/event-stream", json!({ "type": "string" }), "The events, until either side goes.");
    let mut stream = operation("What happens, as it goes on", vec![], vec![("200", stream)], Place::Watch);
    stream.insert("description".to_owned(), description.into());
    builder.operation("/events", "get", &["events"], stream);
}

/// What runs and ran.
fn calls(builder: &mut Builder, name: &Value) {
    let json = |name: &str, description: &str| ok("application/json", schema(name), description);
    let listed = vec![("200", json("Calls", "The oldest hundred, and how many there are."))];
    let list = operation("The calls in flight", vec![], listed, Place::Read);
    builder.operation("/calls", "get", &["calls"], list);
    let id = json!({
        "name": "id", "in": "path", "required": true, "description": "The call's id: its X-Request-Id.",
        "schema": { "type": "string", "minLength": 1 },
    });
    let either = json!({ "anyOf": [schema("LiveCall"), schema("EndedCall")] });
    let found =
        vec![("200", ok("application/json", either, "What is known of it, and what its guest printed."))];
    let one = operation("One call, in flight or among the last ones", vec![id], found, Place::Record);
    builder.operation("/calls/{id}", "get", &["calls", "one"], one);
    let found =
        vec![("200", json("TaskCalls", "Those in flight and the last ones that ended, the newest first."))];
    let of_task = operation("The calls of a task", vec![name.clone()], found, Place::Task);
    builder.operation("/tasks/{task}/-/calls", "get", &["calls", "task"], of_task);
}

/// Where the time of a task goes.
fn profile(builder: &mut Builder, name: Value) {
    let format = json!({
        "name": "format", "in": "query", "required": false,
        "description": "`flamegraph` draws it.", "schema": { "enum": ["json", "flamegraph"] },
    });
    let mut found =
        ok("application/json", schema("Profile"), "The functions with the most time of their own first.");
    if let Some(content) = found.get_mut("content").and_then(Value::as_object_mut) {
        content.insert("image/svg+xml".to_owned(), json!({ "schema": { "type": "string" } }));
    }
    let summary = "Where the calls of a task spend their CPU time, by samples of the last minutes";
    let operation = operation(summary, vec![name, format], vec![("200", found)], Place::Profile);
    builder.operation("/tasks/{task}/-/profile", "get", &["profile", "task"], operation);
}

/// `PUT` and `DELETE` of a task whose path has other methods, too.
pub fn managed(builder: &mut Builder, task: &str) {
    let path = format!("/tasks/{task}");
    builder.operation(&path, "put", &[task, "put"], put(task, vec![]));
    builder.operation(&path, "delete", &[task, "delete"], delete(task, vec![]));
}

/// `PUT /tasks/{task}`
fn put(tag: &str, mut parameters: Vec<Value>) -> Map<String, Value> {
    let described = |description: &str, created: bool| {
        let mut response = ok("application/json", schema("Task"), description);
        if let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) {
            headers.insert("ETag".to_owned(), json!({ "$ref": "#/components/headers/ETag" }));
            if created {
                headers.insert("Location".to_owned(), json!({ "$ref": "#/components/headers/Location" }));
            }
        }
        response
    };
    let responses = vec![
        ("200", described("It took the place of what was there.", false)),
        ("201", described("There was none before.", true)),
    ];
    let absent = json!({
        "name": "If-None-Match", "in": "header", "required": false,
        "description": "Only if there is no such task.", "schema": { "type": "string", "const": "*" },
    });
    parameters.extend([json!({ "$ref": "#/components/parameters/If-Match" }), absent]);
    let mut operation =
        operation("Puts a task: its module, its manifest, or both", parameters, responses, Place::Manage);
    let description = "Needs the scope `manage`. The module is compiled and tied to its manifest first: one that cannot \
        be served is refused, and what served before stays. The answer comes when it serves.";
    operation.insert("description".to_owned(), description.into());
    operation.insert("tags".to_owned(), json!([tag]));
    let binary = json!({ "schema": { "type": "string", "format": "binary" } });
    let text = json!({ "schema": { "type": "string" } });
    let form = json!({ "schema": {
        "type": "object",
        "properties": {
            "module": { "type": "string", "format": "binary" },
            "manifest": { "type": "string" },
        },
        "additionalProperties": false,
    }});
    operation.insert(
        "requestBody".to_owned(),
        json!({ "required": true, "content": {
            "application/wasm": binary, "text/wat": text, "application/toml": text, "multipart/form-data": form,
        }}),
    );
    operation
}

/// `DELETE /tasks/{task}`
fn delete(tag: &str, mut parameters: Vec<Value>) -> Map<String, Value> {
    let gone = json!({
        "description": "It is gone, with its manifest.",
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } },
    });
    parameters.push(json!({ "$ref": "#/components/parameters/If-Match" }));
    let mut operation = operation("Deletes a task", parameters, vec![("204", gone)], Place::Manage);
    operation.insert("description".to_owned(), "Needs the scope `manage`. Calls under way go on.".into());
    operation.insert("tags".to_owned(), json!([tag]));
    operation
}

/// `GET /tasks/NAME` of a task whose path has other methods, too.
pub fn describe(task: &str) -> Map<String, Value> {
    description(task, vec![])
}

/// `POST /tasks/{task}`, as far as it can be described for any task.
fn only_function(name: Value) -> Map<String, Value> {
    let result = json!({ "description": "What the function answers.", "content": { "*/*": {} } });
    let mut operation = operation(
        "Calls the function of a task that has only one",
        vec![name],
        vec![("2XX", result)],
        Place::Call,
    );
    operation.insert("description".to_owned(), "The tasks' own operations say what they take.".into());
    operation.insert("requestBody".to_owned(), json!({ "content": { "*/*": {} } }));
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.extend([task_error(None)]);
    }
    operation
}

fn description(tag: &str, parameters: Vec<Value>) -> Map<String, Value> {
    let responses =
        vec![("200", ok("application/json", schema("Task"), "Its functions, types, limits and counts."))];
    let mut operation = operation("Describes a task", parameters, responses, Place::Task);
    operation.insert("tags".to_owned(), json!([tag]));
    operation
}

fn operation(
    summary: &str,
    mut parameters: Vec<Value>,
    responses: Vec<(&str, Value)>,
    place: Place,
) -> Map<String, Value> {
    parameters.push(json!({ "$ref": "#/components/parameters/X-Request-Id" }));
    // Everybody gets it, with or without a token.
    let open = matches!(place, Place::Own | Place::Page);
    let mut all: Map<String, Value> =
        responses.into_iter().map(|(status, response)| (status.to_owned(), response)).collect();
    all.extend(place.responses());
    let security = open.then(|| ("security".to_owned(), json!([])));
    Map::from_iter(security.into_iter().chain([
        ("tags".to_owned(), json!([TAG])),
        ("summary".to_owned(), summary.into()),
        ("parameters".to_owned(), parameters.into()),
        ("responses".to_owned(), all.into()),
    ]))
}

fn ok(media_type: &str, schema: Value, description: &str) -> Value {
    json!({
        "description": description,
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } },
        "content": { media_type: { "schema": schema } },
    })
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object whose members are all there.
fn object(members: Value) -> Value {
    let required: Vec<String> =
        members.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default();
    json!({ "type": "object", "required": required, "properties": members })
}

/// The schemas that [`add`] refers to.
pub fn schemas() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let json_schema = || json!({ "type": ["object", "null"], "description": "A JSON Schema." });
    let route = object(json!({ "method": text(), "path": text(), "function": maybe() }));
    let summary = object(json!({
        "name": text(), "url": text(), "kind": text(), "digest": text(), "description": maybe(),
        "functions": list(object(json!({
            "name": text(), "url": text(), "signature": text(), "description": maybe(),
        }))),
        "routes": list(route.clone()),
        "warnings": list(text()),
    }));
    let failure = object(json!({
        "file": text(), "task": maybe(), "reason": text(), "remedies": list(text()), "serving": maybe(),
    }));
    let state = state_schema(&failure);
    let tasks = object(json!({ "tasks": list(summary), "loading": list(text()), "failures": list(failure) }));
    let function = object(json!({
        "name": text(), "interface": maybe(), "url": text(), "signature": text(), "description": maybe(),
        "params": json_schema(), "result": json_schema(), "error": json_schema(),
        "raw_body": { "type": "boolean" }, "raw_answer": { "type": "boolean" },
    }));
    let task = object(json!({
        "name": text(), "kind": text(), "digest": text(), "tag": text(), "size": text(),
        "loaded": { "type": "string", "format": "date-time" },
        "description": maybe(),
        "functions": list(function),
        "hidden": list(object(json!({ "name": text(), "reason": text() }))),
        "routes": list(route),
        "limits": object(json!({
            "wall": text(), "cpu": text(), "memory": text(), "input": text(), "output": text(),
            "stream": maybe(), "concurrency": count(), "queue": count(), "queue_wait": text(),
            "weight": count(),
        })),
        "memory_min": text(),
        "grants": object(json!({
            "env": list(text()),
            "dirs": list(object(json!({ "guest": text(), "write": { "type": "boolean" } }))),
            "http": list(text()), "sockets": list(text()),
        })),
        "imports": list(text()),
        "warnings": list(text()),
        "counts": object(json!({ "calls": count(), "errors": count(), "cancelled": count(), "running": count() })),
    }));
    let mut schemas =
        Map::from_iter([("Tasks".to_owned(), tasks), ("Task".to_owned(), task), ("State".to_owned(), state)]);
    schemas.extend(call_schemas());
    let number = || json!({ "type": "number", "minimum": 0 });
    let share = object(json!({
        "name": text(), "self_percent": number(), "total_percent": number(), "self_ms": number(),
        "total_ms": number(),
    }));
    let profile = object(json!({
        "task": text(), "window_seconds": count(), "samples": count(), "samples_per_second_max": count(),
        "cpu_ms": number(), "functions": list(share),
    }));
    schemas.insert("Profile".to_owned(), profile);
    schemas
}

/// The schema of `/state`, and, but for what is named there, of a tick.
fn state_schema(failure: &Value) -> Value {
    let text = || json!({ "type": "string" });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let number = || json!({ "type": "number", "minimum": 0 });
    let part = || json!({ "type": "number", "minimum": 0, "maximum": 1 });
    let maybe = || json!({ "type": ["number", "null"], "minimum": 0 });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let said = |mut schema: Value, what: &str| {
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), what.into());
        }
        schema
    };
    let or_null = |schema: Value| json!({ "anyOf": [{ "type": "null" }, schema] });
    let heat = || {
        let pair = json!({ "type": "array", "items": count(), "minItems": 2, "maxItems": 2 });
        said(list(pair), "Calls that ended since the sample before: bucket and count.")
    };
    let worker = object(json!({
        "id": text(), "task": text(), "function": text(), "level": count(), "cpu_ms": number(), "elapsed_ms": number(),
    }));
    let task = object(json!({
        "name": text(), "kind": text(),
        "calls": count(), "errors": count(), "cancelled": count(), "running": count(),
        "rate": said(number(), "Calls per second, over the last five seconds."),
        "error_rate": said(part(), "Of the calls that ended within the last one to two minutes."),
        "p50_ms": said(maybe(), "Of the same calls."), "p99_ms": said(maybe(), "Of the same calls."),
        "cpu_share": said(part(), "Of the time of all workers, within the last ten seconds."),
        "cpu_part": said(maybe(), "CPU time as a part of the time from slot to end, of the calls that ended within the last one to two \
            minutes: what is missing to 1 they waited."),
        "memory_bytes_max": said(count(), "The most that one run held."),
        "history": said(list(count()), "Calls that came in each sample, the last one at the end; shorter if there were none before."),
    }));
    object(json!({
        "at_ms": said(count(), "Milliseconds since 1970."),
        "uptime_s": number(), "version": text(), "interval_ms": count(), "draining": { "type": "boolean" },
        "rates": said(
            object(json!({ "calls": number(), "errors": number(), "cancelled": number() })),
            "Per second, since the sample before.",
        ),
        "latency_ms": said(
            or_null(object(json!({ "p50": number(), "p90": number(), "p99": number() }))),
            "Of the calls that ended within the last ten seconds.",
        ),
        "heat": heat(),
        "heat_bounds_ms": said(list(number()), "The upper bound of each bucket but the last, which has none."),
        "history": said(
            list(object(json!({
                "at_ms": count(), "calls": number(), "errors": number(), "p50": maybe(), "p99": maybe(), "heat": heat(),
            }))),
            "The samples of the last two minutes: what `rates`, `latency_ms` and `heat` said.",
        ),
        "pool": object(json!({
            "workers": count(), "running": count(),
            "queued": said(list(count()), "Runs that wait for a worker, by level."),
            "urgent": count(), "parked": count(), "idle_workers": count(),
            "permits": said(count(), "Runs that have a slot."), "runs_max": said(count(), "Slots."),
            "waiting": said(count(), "Calls that wait for a slot."),
            "slices_per_s": number(), "preemptions_per_s": number(), "demotions_per_s": number(),
        })),
        "memory": object(json!({ "held_bytes": count(), "budget_bytes": count(), "resident_bytes": count() })),
        "workers": said(list(or_null(worker)), "What each worker does, by its number."),
        "in_flight": count(),
        "calls": said(list(schema("LiveCall")), "The oldest twenty in flight."),
        "tasks": list(task),
        "loading": list(text()),
        "failures": said(list(failure.clone()), "The first hundred; `GET /tasks` has all."),
    }))
}

/// The schemas of calls.
fn call_schemas() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let maybe_count = || json!({ "type": ["integer", "null"], "minimum": 0 });
    let ms = || json!({ "type": "number", "minimum": 0 });
    let live = json!({
        "id": text(), "task": text(), "function": text(),
        "state": { "enum": ["waiting", "queued", "running", "parked"] },
        "worker": maybe_count(), "level": maybe_count(),
        "elapsed_ms": ms(), "cpu_ms": ms(), "slices": count(), "preemptions": count(),
        "memory_bytes": count(), "received_bytes": count(), "sent_bytes": count(),
        "progress": { "anyOf": [
            { "type": "null" },
            object(json!({ "fraction": { "type": "number", "minimum": 0, "maximum": 1 }, "message": text() })),
        ]},
    });
    let outcomes: Vec<&str> = Outcome::all().map(Outcome::as_str).collect();
    let ended = json!({
        "id": text(), "task": text(), "function": text(), "version": text(),
        "started": { "type": "string", "format": "date-time" },
        "outcome": { "enum": outcomes },
        "total_ms": ms(), "queue_ms": ms(), "instantiate_ms": ms(), "run_ms": ms(), "encode_ms": ms(),
        "cpu_ms": ms(), "slices": count(), "preemptions": count(), "level": count(),
        "memory_bytes": count(), "received_bytes": count(), "sent_bytes": count(),
    });
    // What one call has beside what lists say of it.
    let with = |schema: Value, more: Value| {
        let mut schema = object(schema);
        if let (Some(properties), Value::Object(more)) =
            (schema.get_mut("properties").and_then(Value::as_object_mut), more)
        {
            properties.extend(more);
        }
        schema
    };
    let printed = json!({ "stdout": maybe(), "stderr": maybe() });
    let said = json!({
        "stdout": maybe(), "stderr": maybe(), "phase": maybe(),
        "limit": { "anyOf": [{ "type": "null" }, object(json!({ "name": text(), "value": text() }))] },
        "backtrace": { "type": "array", "items": text() },
    });
    let list = |name: &str| json!({ "type": "array", "items": schema(name) });
    Map::from_iter([
        ("LiveCall".to_owned(), with(live, printed)),
        ("EndedCall".to_owned(), with(ended, said)),
        ("Calls".to_owned(), object(json!({ "in_flight": count(), "calls": list("LiveCall") }))),
        (
            "TaskCalls".to_owned(),
            object(json!({ "in_flight": count(), "calls": list("LiveCall"), "ended": list("EndedCall") })),
        ),
    ])
}
