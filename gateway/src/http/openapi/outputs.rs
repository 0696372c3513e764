//! What a function answers when all goes well, as OpenAPI responses, one per status.
//!
//! Says which media types `http/negotiate.rs` chooses from and what each carries. The schemas of
//! values are those of `values/`.

use super::inputs::binary;
use crate::runtime::{Answer, Function};
use crate::values::{Shape, example, example_wave, schema};
use serde_json::{Map, Value, json};

/// The responses to a call that went well, by status.
pub fn of(function: &Function) -> Vec<(String, Value)> {
    let mut content = Map::new();
    match function.answer {
        Answer::Empty => {}
        Answer::Text => {
            content.insert("text/plain".to_owned(), json!({ "schema": { "type": "string" } }));
        }
        Answer::Binary | Answer::Stream => {
            content.insert("application/octet-stream".to_owned(), json!({ "schema": binary() }));
        }
        Answer::Json => {}
    }
    if let Some(shape) = &function.result {
        content.insert("application/json".to_owned(), json_media(shape));
        if let Some(example) = example_wave(shape) {
            let media = json!({ "schema": { "type": "string" }, "example": example });
            content.insert("text/x-wave".to_owned(), media);
        }
    }
    if function.raw_answer {
        // The guest chooses when it runs.
        content.insert("*/*".to_owned(), json!({}));
    }
    let mut responses = Vec::new();
    if !content.is_empty() {
        let description = match (function.raw_answer, &function.result) {
            (true, None) => "What the task wrote, in the media type it chose.".to_owned(),
            (true, Some(shape)) => {
                format!("The result, `{shape}`, or what the task wrote, in the media type it chose.")
            }
            (false, Some(shape)) => format!("The result, `{shape}`."),
            (false, None) => "Bytes, as the task writes them.".to_owned(),
        };
        responses.push((
            "200".to_owned(),
            json!({ "description": description, "headers": headers(), "content": content }),
        ));
    }
    if function.answer == Answer::Empty {
        responses.push((
            "204".to_owned(),
            json!({ "description": "Done; there is no result.", "headers": headers() }),
        ));
    }
    responses
}

fn json_media(shape: &Shape) -> Value {
    match example(shape) {
        Some(example) => json!({ "schema": schema(shape), "example": example }),
        None => json!({ "schema": schema(shape) }),
    }
}

/// The headers of every call that was made.
fn headers() -> Value {
    let names = ["X-Request-Id", "Unblock-Task", "Server-Timing", "Preference-Applied"];
    let all = names.map(|name| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })));
    Value::Object(Map::from_iter(all))
}
