//! Which problems can occur where, as OpenAPI responses: one component per place and status.
//!
//! Owns the schema of a problem document and the sets of kinds per place, by a match without a
//! wildcard, so that a new kind does not compile until it is described. Statuses and words are those
//! of `http/error.rs`.

use crate::error::Kind;
use crate::http::error::{blame, status};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A group of operations with the same problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A call of a function, by its URL or by a route.
    Call,
    /// The description of one task.
    Task,
    /// The page of one problem.
    Page,
    /// What concerns all tasks.
    Read,
    /// The same as it goes on.
    Watch,
    /// One call.
    Record,
    /// The profile of one task.
    Profile,
    /// A change of a task.
    Manage,
    /// An answer of the gateway's own that everybody gets.
    Own,
}

impl Place {
    const ALL: [Place; 9] = [
        Place::Call,
        Place::Task,
        Place::Page,
        Place::Read,
        Place::Watch,
        Place::Record,
        Place::Profile,
        Place::Manage,
        Place::Own,
    ];

    /// The start of its components' names.
    fn name(self) -> &'static str {
        match self {
            Place::Call => "Call",
            Place::Task => "Task",
            Place::Page => "Page",
            Place::Read => "Read",
            Place::Watch => "Watch",
            Place::Record => "Record",
            Place::Profile => "Profile",
            Place::Manage => "Manage",
            Place::Own => "Own",
        }
    }

    fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::HeadersTooLarge | Kind::RateLimited => true,
            Kind::Unauthorized | Kind::Forbidden => !matches!(self, Place::Page | Place::Own),
            Kind::UnknownTask | Kind::Loading => {
                matches!(self, Place::Call | Place::Task | Place::Profile | Place::Manage)
            }
            Kind::BadModule => matches!(self, Place::Call | Place::Task | Place::Profile),
            Kind::UnknownPath => matches!(self, Place::Call | Place::Task | Place::Page | Place::Profile),
            Kind::UnknownCall => self == Place::Record,
            Kind::QueueFull => matches!(self, Place::Call | Place::Manage | Place::Watch),
            Kind::PreconditionFailed | Kind::RefusedModule => self == Place::Manage,
            Kind::BadArguments | Kind::MemoryFull | Kind::Internal => {
                matches!(self, Place::Call | Place::Profile | Place::Manage)
            }
            Kind::RequestTimeout | Kind::InputTooLarge | Kind::UnsupportedMediaType | Kind::Draining => {
                matches!(self, Place::Call | Place::Manage)
            }
            Kind::BadJson
            | Kind::AmbiguousFunction
            | Kind::UnknownFunction
            | Kind::MethodNotAllowed
            | Kind::NotAcceptable
            | Kind::TaskError
            | Kind::Trap
            | Kind::MemoryExceeded
            | Kind::StackOverflow
            | Kind::OutputTooLarge
            | Kind::MissingGrant
            | Kind::BadResponse
            | Kind::DeadlineExceeded
            | Kind::CpuExceeded
            | Kind::Cancelled => self == Place::Call,
        }
    }

    /// Its kinds by status, without the errors that tasks return: each function has its own.
    fn kinds(self) -> BTreeMap<u16, Vec<Kind>> {
        let mut kinds: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
        let shared = |kind: &Kind| self.has(*kind) && *kind != Kind::TaskError;
        for kind in Kind::ALL.into_iter().filter(shared) {
            kinds.entry(status(kind).as_u16()).or_default().push(kind);
        }
        kinds
    }

    /// References to its components, by status.
    pub fn responses(self) -> impl Iterator<Item = (String, Value)> {
        self.kinds().into_keys().map(move |status| {
            let component = format!("#/components/responses/{}{status}", self.name());
            (status.to_string(), json!({ "$ref": component }))
        })
    }
}

/// The components that [`Place::responses`] refers to.
pub fn components() -> Map<String, Value> {
    let mut components = Map::new();
    for place in Place::ALL {
        for (status, kinds) in place.kinds() {
            components.insert(format!("{}{status}", place.name()), response(&kinds, None));
        }
    }
    components
}

/// The error that a function returns; `value` is the schema of what it carries, if anything.
pub fn task_error(value: Option<Value>) -> (String, Value) {
    (status(Kind::TaskError).as_u16().to_string(), response(&[Kind::TaskError], value))
}

fn response(kinds: &[Kind], value: Option<Value>) -> Value {
    let titles: Vec<String> =
        kinds.iter().map(|kind| format!("- `{}`: {}", kind.slug(), kind.title())).collect();
    let types: Vec<String> = kinds.iter().map(|kind| page(*kind)).collect();
    let mut headers = Map::from_iter([("X-Request-Id".to_owned(), header("X-Request-Id"))]);
    if kinds.iter().any(|kind| kind.retry() && *kind != Kind::RequestTimeout) {
        headers.insert("Retry-After".to_owned(), header("Retry-After"));
    }
    if kinds.contains(&Kind::Unauthorized) {
        headers.insert("WWW-Authenticate".to_owned(), header("WWW-Authenticate"));
    }
    if kinds.contains(&Kind::MethodNotAllowed) {
        headers.insert("Allow".to_owned(), header("Allow"));
    }
    let first = kinds.first().copied().unwrap_or(Kind::Internal);
    let mut narrowed = json!({
        "properties": { "type": { "enum": types }, "status": { "const": status(first).as_u16() } },
    });
    if let Some(value) = value {
        if let Some(properties) = narrowed.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("value".to_owned(), value);
        }
        if let Value::Object(narrowed) = &mut narrowed {
            narrowed.insert("required".to_owned(), json!(["value"]));
        }
    }
    json!({
        "description": titles.join("\n"),
        "headers": headers,
        "content": { "application/problem+json": {
            "schema": { "allOf": [{ "$ref": "#/components/schemas/Problem" }, narrowed] },
        }},
    })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn page(kind: Kind) -> String {
    format!("/problems/{}", kind.slug())
}

/// The schema of a problem document, as `http/error.rs` writes it.
pub fn schema() -> Value {
    let types: Vec<String> = Kind::ALL.into_iter().map(page).collect();
    let mut blames: Vec<&str> = Kind::ALL.iter().map(|kind| blame(kind.blame())).collect();
    blames.sort_unstable();
    blames.dedup();
    let texts = |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let text = |description: &str| json!({ "type": "string", "description": description });
    let kind = Kind::BadArguments;
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "blame", "call"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "enum": types, "description": "The page of this kind of problem." },
            "title": text("The same sentence for every problem of the kind."),
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "The response's status." },
            "detail": text("What was found, what was expected and what to do."),
            "blame": { "type": "string", "enum": blames, "description": "Who has to act." },
            "call": text("The request's id, as in X-Request-Id; the log has it, too."),
            "task": text("The task's name."),
            "function": text("The function's name."),
            "phase": { "type": "string", "enum": ["queue", "instantiate", "run", "encode"], "description": "The stage the call had reached." },
            "limit": {
                "type": "object",
                "description": "The limit that was met.",
                "required": ["name", "value"],
                "properties": {
                    "name": text("As in the manifest."),
                    "value": text("With its unit."),
                },
            },
            "pointer": { "type": "string", "description": "Where in the arguments the mistake is: a JSON pointer (RFC 6901)." },
            "expected": text("What was expected there."),
            "nearest": texts("Names that may have been meant, nearest first."),
            "backtrace": texts("The task's frames, innermost first."),
            "stderr": text("The last lines that the task wrote to its standard error."),
            "hints": texts("What the call was refused, and how to grant it."),
            "value": { "description": "The error value that the function returned." },
        },
        "examples": [{
            "type": page(kind),
            "title": kind.title(),
            "status": status(kind).as_u16(),
            "detail": "/seconds: expected f64, found \"soon\"",
            "blame": blame(kind.blame()),
            "call": "3f2c9a1be0774d58",
            "task": "sleep",
            "function": "sleep",
            "phase": "instantiate",
            "pointer": "/seconds",
            "expected": "f64",
        }],
    })
}
