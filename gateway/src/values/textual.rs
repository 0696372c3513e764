//! How a parameter that is given as text is described: in a query, a path or a form field.
//!
//! Owns the schema of each of the three ways in which `args.rs` reads texts, by the same three
//! questions. It must not know where the text stands, nor OpenAPI, which names these ways `style`
//! and `content`.

use super::args::{is_literal, is_plain, is_word};
use super::rows::{BASE64_PATTERN, Row};
use super::schema::schema;
use super::shape::Shape;
use serde_json::{Value, json};

/// How texts stand for a value of some shape; each with the schema of what they say.
#[derive(Clone, Debug, PartialEq)]
pub enum Textual {
    /// One text without quotes: a number, a word.
    Word(Value),
    /// The name is repeated, once per item, and cannot say "no item".
    Repeated {
        /// The schema of the array.
        array: Value,
        /// The schema of one item.
        item: Value,
    },
    /// One text that is a JSON document.
    Document(Value),
}

impl Textual {
    /// How texts stand for a value of `shape`.
    #[must_use]
    pub fn of(shape: &Shape) -> Self {
        match Row::of(shape) {
            Row::Labels(_) => {
                let mut array = schema(shape);
                let item = array.get("items").cloned().unwrap_or_default();
                if let Value::Object(array) = &mut array {
                    array.insert("minItems".to_owned(), json!(1));
                }
                Textual::Repeated { array, item }
            }
            Row::Items { item, len: None } if is_word(item) => {
                let item = word(item);
                Textual::Repeated { array: json!({"type": "array", "items": item, "minItems": 1}), item }
            }
            Row::Nullable { inner, wrapped: false } if is_plain(inner) => match Self::of(inner) {
                // An empty text, and `null`, are none.
                Textual::Word(inner_word) if !is_literal(inner) => {
                    Textual::Word(json!({"anyOf": [inner_word, {"type": "null"}]}))
                }
                // No item is no text, which is none.
                Textual::Repeated { mut array, item } => {
                    if let Value::Object(array) = &mut array {
                        array.shift_remove("minItems");
                    }
                    Textual::Repeated { array, item }
                }
                other => other,
            },
            _ if is_word(shape) => Textual::Word(word(shape)),
            _ => Textual::Document(schema(shape)),
        }
    }
}

/// A word's schema is that of the value, but for bytes, which no array of numbers can be.
fn word(shape: &Shape) -> Value {
    match Row::of(shape) {
        Row::Bytes => json!({"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN}),
        _ => schema(shape),
    }
}
