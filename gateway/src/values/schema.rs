//! WIT type to JSON Schema, draft 2020-12.
//!
//! Owns how each row of the table is said in JSON Schema, so that a document is valid exactly when
//! the decoder accepts it; what a schema cannot say is listed in the front page of this folder. It
//! must not know OpenAPI nor MCP: those embed what is made here.

use super::rows::{
    BASE64_PATTERN, ERR, F32_OVERFLOW, INFINITY, IntRow, NAN, NEGATIVE_INFINITY, OK, Row, SOME, TAG, VAL,
    may_be_absent,
};
use super::shape::{Case, Param, Shape, Sides};
use serde_json::{Map, Value, json};

/// The JSON Schema (2020-12) of a value of `shape`, without `$schema`.
#[must_use]
pub fn schema(shape: &Shape) -> Value {
    match Row::of(shape) {
        Row::Bool => json!({"type": "boolean"}),
        Row::Int(row) => integer(row),
        Row::Float32 => float(json!({
            "type": "number", "exclusiveMinimum": -F32_OVERFLOW, "exclusiveMaximum": F32_OVERFLOW,
        })),
        Row::Float64 => float(json!({"type": "number"})),
        Row::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
        Row::Text => json!({"type": "string"}),
        Row::Bytes => json!({
            "type": ["string", "array"],
            "contentEncoding": "base64",
            "pattern": BASE64_PATTERN,
            "items": schema(&Shape::U8),
        }),
        Row::Items { item, len: None } => json!({"type": "array", "items": schema(item)}),
        Row::Items { item, len: Some(len) } => {
            json!({"type": "array", "items": schema(item), "minItems": len, "maxItems": len})
        }
        Row::Slots(slots) => tuple(slots.iter().map(schema).collect()),
        Row::Entries(value) => json!({"type": "object", "additionalProperties": schema(value)}),
        Row::Pairs(key, value) => {
            json!({"type": "array", "items": tuple(vec![schema(key), schema(value)]), "uniqueItems": true})
        }
        Row::Members(fields) => params_schema(fields),
        Row::Tagged(cases) => variant(cases),
        Row::Label(labels) => json!({"type": "string", "enum": labels}),
        Row::Labels(labels) => {
            json!({"type": "array", "items": {"type": "string", "enum": labels}, "uniqueItems": true})
        }
        Row::Nullable { inner, wrapped } => {
            let inner = if wrapped { object([(SOME, schema(inner), true)]) } else { schema(inner) };
            json!({"anyOf": [inner, {"type": "null"}]})
        }
        Row::Outcome(Sides { ok, err }) => {
            let side = |name, side: &Option<Shape>| {
                let payload = side.as_ref().map_or_else(|| json!({"type": "null"}), schema);
                object([(name, payload, true)])
            };
            json!({"oneOf": [side(OK, ok), side(ERR, err)]})
        }
    }
}

/// The JSON Schema (2020-12) of an object with these members: a function's parameters by name, or a
/// record. The `doc` of a member becomes its `description`.
#[must_use]
pub fn params_schema(params: &[Param]) -> Value {
    object(params.iter().map(|param| (param.name.as_str(), described(param), !may_be_absent(&param.shape))))
}

/// The JSON Schema (2020-12) of a function's parameters by position: options may be left out at the end.
#[must_use]
pub fn positional_schema(params: &[Param]) -> Value {
    let Some(last) = params.len().checked_sub(1) else { return json!({"type": "array", "maxItems": 0}) };
    let needed = params.iter().rposition(|param| !may_be_absent(&param.shape)).map_or(0, |index| index + 1);
    let slots: Vec<Value> = params.iter().map(described).collect();
    json!({
        "type": "array", "prefixItems": slots, "items": false, "minItems": needed, "maxItems": last + 1,
    })
}

/// The schema of a parameter's value, with its `doc`.
fn described(param: &Param) -> Value {
    let mut schema = schema(&param.shape);
    if let (Some(doc), Value::Object(schema)) = (&param.doc, &mut schema) {
        schema.insert("description".to_owned(), Value::from(doc.as_str()));
    }
    schema
}

/// An object with exactly these members: name, schema, whether it is required.
fn object<'n>(members: impl IntoIterator<Item = (&'n str, Value, bool)>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema, needed) in members {
        if needed {
            required.push(Value::from(name));
        }
        properties.insert(name.to_owned(), schema);
    }
    let mut object = Map::new();
    object.insert("type".to_owned(), Value::from("object"));
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), Value::Array(required));
    }
    object.insert("additionalProperties".to_owned(), Value::Bool(false));
    Value::Object(object)
}

fn tuple(slots: Vec<Value>) -> Value {
    let len = slots.len();
    json!({"type": "array", "prefixItems": slots, "items": false, "minItems": len, "maxItems": len})
}

fn variant(cases: &[Case]) -> Value {
    let tagged = cases.iter().map(|case| {
        let tag = (TAG, json!({"const": case.name}), true);
        match &case.shape {
            Some(shape) => object([tag, (VAL, schema(shape), !may_be_absent(shape))]),
            None => object([tag]),
        }
    });
    let mut forms: Vec<Value> = tagged.collect();
    let bare: Vec<&str> =
        cases.iter().filter(|case| case.shape.is_none()).map(|case| case.name.as_str()).collect();
    if !bare.is_empty() {
        forms.push(json!({"type": "string", "enum": bare}));
    }
    json!({"oneOf": forms})
}

/// A bound applies to numbers only and a pattern to strings only, so one flat schema says both.
fn integer(row: &IntRow) -> Value {
    let bounds = (number(row.min), number(row.max));
    if row.text {
        let pattern = decimal_pattern(row);
        json!({"type": ["integer", "string"], "minimum": bounds.0, "maximum": bounds.1, "pattern": pattern})
    } else {
        json!({"type": "integer", "minimum": bounds.0, "maximum": bounds.1})
    }
}

fn number(n: i128) -> Value {
    i64::try_from(n).map(Value::from).or_else(|_| u64::try_from(n).map(Value::from)).unwrap_or_default()
}

fn float(number: Value) -> Value {
    json!({"anyOf": [number, {"type": "string", "enum": [NAN, INFINITY, NEGATIVE_INFINITY]}]})
}

/// An ECMA 262 pattern of the decimal numbers in the row's range, without leading zeros.
fn decimal_pattern(row: &IntRow) -> String {
    let positive = up_to(row.max.unsigned_abs());
    if row.min < 0 {
        let negative = up_to(row.min.unsigned_abs());
        format!("^(?:0|{positive}|-(?:{negative}))$")
    } else {
        format!("^(?:0|{positive})$")
    }
}

/// Alternatives for the numbers from 1 to `max`: those with fewer digits, then, digit by digit,
/// those that equal `max` up to there and are smaller in that digit, then `max` itself.
fn up_to(max: u128) -> String {
    let digits = max.to_string();
    let mut forms = Vec::new();
    if digits.len() > 1 {
        forms.push(format!("[1-9][0-9]{{0,{}}}", digits.len() - 2));
    }
    for (n, digit) in digits.char_indices() {
        let (prefix, rest) = digits.split_at(n);
        let lowest = if n == 0 { '1' } else { '0' };
        let Some(below) = char::from_u32(u32::from(digit).saturating_sub(1)).filter(|below| *below >= lowest)
        else {
            continue;
        };
        match rest.len() - 1 {
            0 => forms.push(format!("{prefix}[{lowest}-{below}]")),
            left => forms.push(format!("{prefix}[{lowest}-{below}][0-9]{{{left}}}")),
        }
    }
    forms.push(digits);
    forms.join("|")
}
