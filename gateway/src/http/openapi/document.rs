//! The whole document: paths, tags and what operations share.
//!
//! Owns what must be unique over all tasks (paths, operation ids) and the bound on the document's
//! size. It must not know what a function takes or answers.

use super::{operations, own, problems};
use crate::registry::Snapshot;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};

/// Most operations of one document: a module may export any number of functions. Some 30 MB.
const OPERATIONS_MAX: usize = 10_000;

/// The document that describes a snapshot; `secured` where every caller needs a token. Other requests of the thread get their turn between two
/// tasks: hundreds of these take some tenths of a second on a busy machine.
pub async fn of(snapshot: &Snapshot, secured: bool) -> Value {
    let mut builder = Builder { secured, ..Builder::default() };
    own::add(&mut builder);
    let mut left_out = Vec::new();
    for task in snapshot.tasks.values() {
        let coming = operations::count(task);
        if builder.ids.len().saturating_add(coming) > OPERATIONS_MAX {
            left_out.push(task.name.as_str());
        } else {
            operations::add(&mut builder, task);
        }
        tokio::task::yield_now().await;
    }
    builder.finish(&left_out)
}

/// The only way to show who asks.
pub const SCHEME: &str = "token";

/// A document under construction.
#[derive(Default)]
pub struct Builder {
    /// By the path with its parameters unnamed, since paths that differ in these names only are one.
    paths: BTreeMap<String, (String, Map<String, Value>)>,
    ids: HashSet<String>,
    tags: Vec<Value>,
    secured: bool,
}

impl Builder {
    /// Adds a group of operations.
    pub fn tag(&mut self, name: &str, description: &str) {
        self.tags.push(json!({ "name": name, "description": description }));
    }

    /// The path as the document has it: another operation may have named its parameters first.
    pub fn path(&mut self, path: &str) -> String {
        self.entry(path).0.clone()
    }

    fn entry(&mut self, path: &str) -> &mut (String, Map<String, Value>) {
        let key: Vec<&str> =
            path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect();
        self.paths.entry(key.join("/")).or_insert_with(|| (path.to_owned(), Map::new()))
    }

    /// Adds an operation under an id made of `words`, unless the path has that method already.
    pub fn operation(&mut self, path: &str, method: &str, words: &[&str], mut operation: Map<String, Value>) {
        if self.entry(path).1.contains_key(method) {
            return;
        }
        let id = self.id(words);
        operation.insert("operationId".to_owned(), id.into());
        self.entry(path).1.insert(method.to_owned(), Value::Object(operation));
    }

    /// An id that no other operation has, of characters that code generators take.
    fn id(&mut self, words: &[&str]) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = words.join("_").chars().map(plain).collect();
        let mut id = name.clone();
        let mut n = 2;
        while self.ids.contains(&id) {
            id = format!("{name}_{n}");
            n += 1;
        }
        self.ids.insert(id.clone());
        id
    }

    fn finish(self, left_out: &[&str]) -> Value {
        let mut description = String::from(
            "Runs WebAssembly tasks. Errors are problem documents (RFC 9457) whose `type` is a page that says \
             what to do. Every GET is served for HEAD as well, and every path answers OPTIONS.",
        );
        if !left_out.is_empty() {
            description.push_str(&format!(
                "\n\nLeft out, since one document holds at most {OPERATIONS_MAX} operations: {}. \
                 `GET /tasks/{{task}}` describes each.",
                left_out.join(", ")
            ));
        }
        let paths: Map<String, Value> = self
            .paths
            .into_values()
            .filter(|(_, item)| !item.is_empty())
            .map(|(path, item)| (path, Value::Object(item)))
            .collect();
        let mut schemas = own::schemas();
        schemas.insert("Problem".to_owned(), problems::schema());
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Unblock",
                "version": env!("CARGO_PKG_VERSION"),
                "description": description,
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            // Without tokens a caller may still send one, as the page's button does.
            "security": if self.secured { json!([{ SCHEME: [] }]) } else { json!([{}, { SCHEME: [] }]) },
            "tags": self.tags,
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": problems::components(),
                "parameters": parameters(),
                "headers": headers(),
                "securitySchemes": { SCHEME: {
                    "type": "http", "scheme": "bearer",
                    "description": "A token that `unblock token create` made, with a scope for what is asked: \
                        `call:TASK`, `call:*`, `read` or `manage`. Needed where the gateway was started with tokens.",
                }},
            },
        })
    }
}

fn parameters() -> Value {
    json!({
        "Prefer": {
            "name": "Prefer", "in": "header", "required": false,
            "description": "`wait=5` (RFC 7240): stop the call after 5 seconds, if its wall budget is longer.",
            "schema": { "type": "string" },
        },
        "Unblock-Profile": {
            "name": "Unblock-Profile", "in": "header", "required": false,
            "description": "Answer with the profile of the call instead of its result: `firefox` for \
                profiler.firefox.com (`application/json`), `flamegraph` for a browser (`image/svg+xml`), with status 200 and \
                the outcome in `Unblock-Outcome`. Needs the scope `manage` where tokens are asked for.",
            "schema": { "enum": ["firefox", "flamegraph"] },
        },
        "X-Request-Id": {
            "name": "X-Request-Id", "in": "header", "required": false,
            "description": "An id for the request; the gateway makes one if it is missing or odd.",
            "schema": { "type": "string" },
        },
        "If-None-Match": {
            "name": "If-None-Match", "in": "header", "required": false,
            "description": "The ETag of the document the client has.",
            "schema": { "type": "string" },
        },
        "If-Match": {
            "name": "If-Match", "in": "header", "required": false,
            "description": "The ETag of the task as it was when the client looked at it, or `*`: if it is another by now, \
                nothing is changed.",
            "schema": { "type": "string" },
            "example": "*",
        },
    })
}

fn headers() -> Value {
    let text = |required: bool, description: &str| json!({ "required": required, "description": description, "schema": { "type": "string" } });
    json!({
        "X-Request-Id": text(true, "The request's id, which the log has, too."),
        "Unblock-Task": text(true, "Which version of which task answered: `name@digest`."),
        "Server-Timing": text(true, "Milliseconds of each phase (`queue`, `instantiate`, `run`, `encode`) and of CPU time."),
        "Preference-Applied": text(false, "The preference that was honoured."),
        "ETag": text(true, "The document's entity tag."),
        "Allow": text(true, "The methods that are served."),
        "WWW-Authenticate": text(true, "How to show who asks (RFC 6750)."),
        "Location": text(true, "The URL of the task."),
        "Retry-After": {
            "description": "Seconds until another try makes sense.",
            "schema": { "type": "integer", "minimum": 1 },
        },
    })
}
