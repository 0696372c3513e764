//! Calls for those who look after the tasks: what runs now, and what became of the last ones.
//!
//! Sizes, times and what a guest printed; nothing that a caller sent. How calls are made and watched is
//! not known here.

use super::Gateway;
use super::answer::document;
use super::error::Context;
use super::id::CallId;
use crate::error::{Error, Kind};
use crate::observe::live::Call;
use crate::observe::{LINES_MAX, Outcome, PRINTED_BYTES_MAX, Record, Words};
use crate::registry::Task;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use unblock_pool::Standing;

/// Calls in flight that one answer lists.
const LISTED_MAX: usize = 100;

/// `GET /calls`: those in flight, the oldest first.
pub async fn list(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let (calls, all) = gateway.invoker.observer().live().list(LISTED_MAX, |_| true);
    document(&json!({ "in_flight": all, "calls": calls.iter().map(live).collect::<Vec<_>>() }))
}

/// `GET /calls/{id}`: one in flight, else the last one of that id that has ended.
pub async fn one(
    State(gateway): State<Arc<Gateway>>,
    Extension(call): Extension<CallId>,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Response<Body> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    if let Some(found) = gateway.invoker.observer().live().find(&id) {
        let mut value = live(&found);
        let printed = found.observed.printed(LINES_MAX, PRINTED_BYTES_MAX);
        if let Some(members) = value.as_object_mut() {
            members.insert("stdout".to_owned(), json!(printed.stdout));
            members.insert("stderr".to_owned(), json!(printed.stderr));
        }
        return document(&value);
    }
    let snapshot = gateway.registry.snapshot();
    let ended = snapshot.tasks.values().find_map(|task| Some((task, task.figures.record(&id)?)));
    match ended {
        Some((task, record)) => document(&told(task, &record)),
        None => Context::of(&call).respond(&unknown(&id)),
    }
}

/// Characters of an unknown id that a problem repeats.
const QUOTE_CHARS_MAX: usize = 130;

fn unknown(id: &str) -> Error {
    let quoted: String = id.chars().take(QUOTE_CHARS_MAX).collect();
    Error::new(
        Kind::UnknownCall,
        format!(
            "found no call {quoted:?} in flight or among the last ones of each task; GET /calls lists those in flight"
        ),
    )
}

/// `GET /tasks/{task}/-/calls`: the task's calls in flight and its last ones.
pub fn of_task(gateway: &Gateway, task: &Task, _: &Request) -> Result<Response<Body>, Error> {
    let observer = gateway.invoker.observer();
    let (calls, all) = observer.live().list(LISTED_MAX, |call| call.task == task.name);
    let ended: Vec<Value> = task.figures.records().iter().map(|record| ended(task, record)).collect();
    Ok(document(&json!({
        "in_flight": all,
        "calls": calls.iter().map(live).collect::<Vec<_>>(),
        "ended": ended,
    })))
}

/// A call in flight.
pub fn live(call: &Call) -> Value {
    let observed = &call.observed;
    let (glance, progress) = (observed.glance(), observed.progress());
    let (received, sent) = observed.bytes();
    let standing = glance.map(|glance| glance.standing);
    let worker = match standing {
        Some(Standing::Running { worker }) => Some(worker),
        _ => None,
    };
    json!({
        "id": &**observed.id(),
        "task": call.task.as_str(),
        "function": &*call.function,
        "state": match standing {
            None => "waiting",
            Some(Standing::Queued) => "queued",
            Some(Standing::Running { .. }) => "running",
            Some(Standing::Parked) => "parked",
        },
        "worker": worker,
        "level": glance.map(|glance| glance.level),
        "elapsed_ms": ms(call.arrived.elapsed()),
        "cpu_ms": ms(glance.map_or(Duration::ZERO, |glance| glance.cpu)),
        "slices": glance.map_or(0, |glance| glance.slices),
        "preemptions": glance.map_or(0, |glance| glance.preemptions),
        "memory_bytes": observed.memory_bytes(),
        "received_bytes": received,
        "sent_bytes": sent,
        "progress": progress.map(|(fraction, message)| json!({ "fraction": fraction, "message": message })),
    })
}

/// A call that has ended, without what it said.
pub fn ended(task: &Task, record: &Record) -> Value {
    let timing = &record.timing;
    json!({
        "id": &*record.id,
        "task": task.name.as_str(),
        "function": &*record.function,
        "version": format!("{}@{}", task.name, record.digest),
        "started": humantime::format_rfc3339_millis(record.started).to_string(),
        "outcome": record.outcome.as_str(),
        "total_ms": ms(record.total),
        "queue_ms": ms(timing.queue),
        "instantiate_ms": ms(timing.instantiate),
        "run_ms": ms(timing.run),
        "encode_ms": ms(timing.encode),
        "cpu_ms": ms(timing.cpu),
        "slices": record.slices,
        "preemptions": record.preemptions,
        "level": record.level,
        "memory_bytes": record.memory_bytes,
        "received_bytes": record.received_bytes,
        "sent_bytes": record.sent_bytes,
    })
}

/// The same, with what it said as far as that is kept.
fn told(task: &Task, record: &Record) -> Value {
    let mut value = ended(task, record);
    let words: Words = record.words.as_ref().and_then(|kept| kept.words()).unwrap_or_default();
    let failed = matches!(record.outcome, Outcome::Failed(_));
    if let Some(members) = value.as_object_mut() {
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("stdout", json!(words.stdout));
        put("stderr", json!(words.stderr));
        if failed {
            put("phase", json!(words.phase.map(|phase| phase.as_str())));
            put(
                "limit",
                json!(words.limit.as_ref().map(|(name, value)| json!({ "name": name, "value": value }))),
            );
            put("backtrace", json!(words.backtrace));
        }
    }
    value
}

/// Milliseconds, to the microsecond.
pub fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
