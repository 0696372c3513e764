//! JSON ⇄ WIT: how values cross between a document and a typed function. Pure functions.
//! WAVE, the second format, is in `wave/`.
//!
//! This folder owns the mapping and nothing else: it knows no HTTP, files, threads nor stores.
//! [`Shape`] is a type that can cross, built once at load; [`decode_args`], [`encode()`] and
//! [`schema()`] are three readings of one table (`rows.rs`). Below, *out* is what [`encode()`] writes
//! and [`schema()`] describes; *in as well* is accepted besides.
//!
//! | WIT | JSON, out | in as well |
//! |---|---|---|
//! | parameters | – | object by name, or array by position; options may be left out |
//! | `bool` | `true`, `false` | |
//! | `s8` … `u32` | number | any spelling of that integer: `1.0`, `1e3` |
//! | `s64`, `u64` | number up to 2^53-1, beyond it a decimal string | number or string at any size |
//! | `f32`, `f64` | number, the shortest that reads back; `"NaN"`, `"Infinity"`, `"-Infinity"` | any number, rounded to the nearest |
//! | `char` | string of one Unicode scalar value | |
//! | `string` | string | |
//! | `list<u8>` | base64 with padding (RFC 4648, section 4) | array of numbers |
//! | `list<T>`, `list<T, N>`, `tuple<…>` | array, of exact length for the latter two | |
//! | `record` | object with the exact WIT names | `_` for `-`; options left out |
//! | `variant` | `{"tag": "case", "val": payload}`, `{"tag": "case"}` | `"case"` for one without payload; an option payload left out |
//! | `enum` | its label | |
//! | `flags` | array of labels, each once | |
//! | `option<T>` | null or the value | |
//! | `option<option<T>>` | null or `{"some": value}`: whenever the payload may itself be null | |
//! | `result` | `{"ok": payload}` or `{"err": payload}`, null for no payload | |
//! | `map<string, T>` / other keys | object / array of `[key, value]`, each key once | |
//! | resources, `stream`, `future`, `error-context` | the function is not exposed ([`NotExposed`]) | |
//!
//! A document is valid by its schema exactly when the decoder accepts it, save for what a schema
//! cannot say or would say badly: names spelled with `_` and arguments by position are accepted but
//! not described; a repeated name, a repeated key in an array of pairs, an f64 beyond the finite
//! ones and whatever exceeds [`Limits`] is refused although the schema has no word for it.
//!
//! ```
//! use gateway::values::{Limits, Param, Shape, decode_args, encode, params_schema};
//!
//! let params = [Param::new("max-width", Shape::U32), Param::new("note", Shape::option(Shape::String))];
//! let args = decode_args(&params, br#"{"max-width": 640}"#, &Limits::default())?;
//! assert_eq!(args.len(), 2);
//!
//! let mut json = Vec::new();
//! encode(&params[0].shape, &args[0], &mut json, 1024)?;
//! assert_eq!(json, b"640");
//!
//! let error = decode_args(&params, br#"{"max-width": "wide"}"#, &Limits::default()).unwrap_err();
//! assert_eq!(error.to_string(), r#"/max-width: expected u32, found "wide""#);
//! assert_eq!(params_schema(&params)["required"][0], "max-width");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each row, read and written again:
//!
//! ```
//! use gateway::values::{Case, Limits, Shape, decode_value, encode};
//!
//! let again = |shape: Shape, json: &str| -> Result<String, Box<dyn std::error::Error>> {
//!     let val = decode_value(&shape, json.as_bytes(), &Limits::default())?;
//!     let mut out = Vec::new();
//!     encode(&shape, &val, &mut out, 1024)?;
//!     Ok(String::from_utf8(out)?)
//! };
//! assert_eq!(again(Shape::U64, "9007199254740993")?, r#""9007199254740993""#);
//! assert_eq!(again(Shape::F32, "0.1")?, "0.1");
//! assert_eq!(again(Shape::F64, r#""NaN""#)?, r#""NaN""#);
//! assert_eq!(again(Shape::list(Shape::U8), "[104, 105]")?, r#""aGk=""#);
//! assert_eq!(again(Shape::option(Shape::option(Shape::U8)), r#"{"some": null}"#)?, r#"{"some":null}"#);
//! assert_eq!(again(Shape::result(None, Some(Shape::Char)), r#"{"err": "x"}"#)?, r#"{"err":"x"}"#);
//! let case = |name: &str, shape| Case { name: name.to_owned(), shape };
//! let variant = Shape::Variant([case("none", None), case("size", Some(Shape::U8))].into());
//! assert_eq!(again(variant.clone(), r#""none""#)?, r#"{"tag":"none"}"#);
//! assert_eq!(again(variant, r#"{"val": 7, "tag": "size"}"#)?, r#"{"tag":"size","val":7}"#);
//! let flags = Shape::Flags(["read".to_owned(), "write".to_owned()].into());
//! assert_eq!(again(flags.clone(), r#"["write"]"#)?, r#"["write"]"#);
//! assert!(again(flags, r#"["write", "write"]"#).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod args;
mod budget;
mod decode;
mod encode;
mod error;
mod example;
mod json;
mod rows;
mod scalars;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod textual;
mod wave;

pub use args::{Args, decode_args, decode_byte_field, decode_query, decode_text_field};
pub use budget::{BYTE_LIST_BYTES_MAX, Limits};
pub use decode::decode_value;
pub use encode::{bytes_of, encode};
pub use error::{ArgError, ArgErrorKind, EncodeError, NAMES_SHOWN_MAX, NotExposed, TEXT_CHARS_MAX};
pub use example::{example, example_args, example_wave};
pub use schema::{params_schema, positional_schema, schema};
pub use shape::{Case, Param, SHAPE_DEPTH_MAX, SHAPE_NODES_MAX, Shape, Sides};
pub use textual::Textual;
pub use wave::{decode_wave, encode_wave, encode_wave_bytes};
