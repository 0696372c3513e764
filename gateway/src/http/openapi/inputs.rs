//! What a function takes, as OpenAPI parameters and request bodies.
//!
//! Says for each place (query, path, JSON, form, raw body) what `runtime/arguments.rs` takes there.
//! The schemas of values are those of `values/`; nothing here knows how a value is decoded.

use crate::runtime::{Function, Input};
use crate::values::{
    Param, Shape, Textual, example, example_args, example_wave, params_schema, positional_schema,
};
use serde_json::{Map, Value, json};

/// What a request carries beside its path.
pub struct Inputs {
    /// Parameter objects.
    pub parameters: Vec<Value>,
    /// The request body, if there may be one.
    pub body: Option<Value>,
}

/// What the call of a function takes. `in_path` are those of its parameters that the path has, each
/// with the name it has there; with `body` the rest comes in the body, otherwise in the query.
pub fn of(function: &Function, in_path: &[(String, String)], body: bool) -> Inputs {
    let path_name =
        |param: &Param| in_path.iter().find(|(own, _)| *own == param.name).map(|(_, shown)| shown.as_str());
    let mut parameters: Vec<Value> = function
        .params
        .iter()
        .filter_map(|param| path_name(param).map(|shown| path_parameter(param, shown)))
        .collect();
    let rest: Vec<Param> =
        function.params.iter().filter(|param| path_name(param).is_none()).cloned().collect();
    let query = |params: &mut Vec<Value>, rest: &[Param]| {
        params.extend(rest.iter().map(query_parameter));
    };
    let body = match (function.input(), body) {
        (Input::Body, false) => None,
        (Input::Body, true) => Some(raw_body("The argument, as it is, whatever its media type.")),
        (Input::Guest, false) => {
            query(&mut parameters, &rest);
            None
        }
        (Input::Guest, true) => {
            query(&mut parameters, &rest);
            Some(raw_body("What the task reads, whatever its media type."))
        }
        (Input::Arguments | Input::BodyAs(_), false) => {
            query(&mut parameters, &rest);
            None
        }
        (Input::Arguments, true) => Some(arguments_body(&rest, in_path.is_empty())),
        (Input::BodyAs(index), true) => {
            let raw = function.params.get(index).map(|param| param.name.as_str());
            let (own, others): (Vec<Param>, Vec<Param>) =
                rest.into_iter().partition(|param| Some(param.name.as_str()) == raw);
            Some(if own.is_empty() {
                arguments_body(&others, false)
            } else if others.is_empty() && in_path.is_empty() {
                let mut body = arguments_body(&own, true);
                if let Some(content) = body.get_mut("content").and_then(Value::as_object_mut) {
                    content.insert("application/octet-stream".to_owned(), json!({ "schema": binary() }));
                }
                body
            } else {
                // An operation cannot say "in the query, unless the body is JSON": one way is enough.
                query(&mut parameters, &others);
                let mut body = raw_body(&format!(
                    "The argument `{}`, as it is. A JSON document of all arguments does as well, or a form with a \
                     field for each; then there is none in the query.",
                    raw.unwrap_or_default()
                ));
                set(&mut body, "required", json!(true));
                body
            })
        }
    };
    parameters.push(json!({ "$ref": "#/components/parameters/Prefer" }));
    parameters.push(json!({ "$ref": "#/components/parameters/Unblock-Profile" }));
    parameters.push(json!({ "$ref": "#/components/parameters/X-Request-Id" }));
    Inputs { parameters, body }
}

fn optional(param: &Param) -> bool {
    matches!(param.shape, Shape::Option(_))
}

/// Bytes as they are.
pub fn binary() -> Value {
    json!({ "type": "string", "format": "binary", "contentMediaType": "application/octet-stream" })
}

fn query_parameter(param: &Param) -> Value {
    let mut parameter = json!({ "name": param.name, "in": "query", "required": !optional(param) });
    describe(&mut parameter, param);
    match Textual::of(&param.shape) {
        Textual::Word(schema) => set(&mut parameter, "schema", schema),
        Textual::Repeated { array, .. } => {
            set(&mut parameter, "schema", array);
            set(&mut parameter, "style", json!("form"));
            set(&mut parameter, "explode", json!(true));
        }
        Textual::Document(schema) => {
            set(&mut parameter, "content", json_text(param, schema));
            return parameter;
        }
    }
    if let Some(example) = example(&param.shape) {
        set(&mut parameter, "example", example);
    }
    parameter
}

fn path_parameter(param: &Param, shown: &str) -> Value {
    let mut parameter = json!({ "name": shown, "in": "path", "required": true });
    describe(&mut parameter, param);
    let mut shown_example = example(&param.shape);
    match Textual::of(&param.shape) {
        Textual::Word(schema) => set(&mut parameter, "schema", in_segment(schema)),
        // A segment stands once: for one item.
        Textual::Repeated { item, .. } => {
            shown_example = shown_example.and_then(|items| items.get(0).cloned());
            set(&mut parameter, "schema", in_segment(item));
        }
        Textual::Document(schema) => {
            set(&mut parameter, "content", json_text(param, schema));
            return parameter;
        }
    }
    if let Some(example) = shown_example {
        set(&mut parameter, "example", example);
    }
    parameter
}

/// A parameter whose text is a JSON document.
fn json_text(param: &Param, schema: Value) -> Value {
    let mut media = json!({ "schema": schema });
    if let Some(example) = example(&param.shape) {
        set(&mut media, "example", example);
    }
    json!({ "application/json": media })
}

/// A segment of a path is never empty.
fn in_segment(mut schema: Value) -> Value {
    let text = schema.get("type").is_some_and(|name| name == "string") && schema.get("enum").is_none();
    if text && schema.get("minLength").is_none() {
        set(&mut schema, "minLength", json!(1));
    }
    schema
}

fn describe(parameter: &mut Value, param: &Param) {
    let description = match &param.doc {
        Some(doc) => format!("{doc}\n\n`{}`", param.shape),
        None => format!("`{}`", param.shape),
    };
    set(parameter, "description", description.into());
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// Any bytes, alone or as the only part of a form.
fn raw_body(description: &str) -> Value {
    json!({
        "description": description,
        "content": {
            "application/octet-stream": { "schema": binary() },
            "multipart/form-data": { "schema": {
                "type": "object",
                "properties": { "file": binary() },
                "required": ["file"],
                "additionalProperties": false,
            }},
        },
    })
}

/// All arguments by name; by position as well if the path has none of them.
fn arguments_body(params: &[Param], by_position: bool) -> Value {
    let required = params.iter().any(|param| !optional(param));
    let mut schema = params_schema(params);
    let mut examples = Map::new();
    let least = example_args(params, false);
    if let Some(value) = &least {
        examples.insert("required".to_owned(), json!({ "value": value }));
    }
    if let Some(value) = example_args(params, true).filter(|all| least.as_ref() != Some(all)) {
        examples.insert("all".to_owned(), json!({ "value": value }));
    }
    if by_position {
        schema = json!({ "anyOf": [schema, positional_schema(params)] });
        let values: Option<Vec<Value>> = params.iter().map(|param| example(&param.shape)).collect();
        if let Some(values) = values {
            examples.insert("by-position".to_owned(), json!({ "summary": "By position", "value": values }));
        }
    }
    let mut content = Map::new();
    content.insert("application/json".to_owned(), json!({ "schema": schema, "examples": examples }));
    let needed = params.iter().filter(|param| !optional(param)).cloned().collect();
    if let Some(example) = example_wave(&Shape::Record(needed)).filter(|_| required) {
        let description = "All arguments as a WAVE record by name, or as a tuple by position.";
        let schema = json!({ "type": "string", "description": description });
        content.insert("text/x-wave".to_owned(), json!({ "schema": schema, "example": example }));
    }
    if !params.is_empty() {
        content.insert("multipart/form-data".to_owned(), form(params, true));
        // With anything but words in it, tools differ in what they send.
        if params.iter().all(|param| matches!(Textual::of(&param.shape), Textual::Word(_))) {
            content.insert("application/x-www-form-urlencoded".to_owned(), form(params, false));
        }
    }
    json!({ "required": required, "content": content })
}

/// A form, whose fields are texts; a multipart one takes byte lists as they are.
fn form(params: &[Param], multipart: bool) -> Value {
    let mut properties = Map::new();
    let mut encoding = Map::new();
    for param in params {
        let (mut schema, media_type) = field(&param.shape, multipart);
        if let (Some(doc), Value::Object(schema)) = (&param.doc, &mut schema) {
            schema.insert("description".to_owned(), doc.as_str().into());
        }
        if let Some(media_type) = media_type {
            encoding.insert(param.name.clone(), json!({ "contentType": media_type }));
        }
        properties.insert(param.name.clone(), schema);
    }
    let required: Vec<&str> =
        params.iter().filter(|param| !optional(param)).map(|param| param.name.as_str()).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        set(&mut schema, "required", json!(required));
    }
    let mut media = json!({ "schema": schema });
    if !encoding.is_empty() {
        set(&mut media, "encoding", Value::Object(encoding));
    }
    media
}

/// The schema of one field, and its media type where that is not text.
fn field(shape: &Shape, multipart: bool) -> (Value, Option<&'static str>) {
    match shape {
        Shape::Bytes if multipart => return (binary(), Some("application/octet-stream")),
        Shape::Option(inner) if multipart && **inner == Shape::Bytes => return field(inner, multipart),
        Shape::List(item) if multipart && **item == Shape::Bytes => {
            return (
                json!({ "type": "array", "items": binary(), "minItems": 1 }),
                Some("application/octet-stream"),
            );
        }
        _ => {}
    }
    match Textual::of(shape) {
        Textual::Word(schema) => (schema, None),
        Textual::Repeated { array, .. } => (array, None),
        Textual::Document(schema) => (schema, Some("application/json")),
    }
}
