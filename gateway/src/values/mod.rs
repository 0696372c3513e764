//! JSON ⇄ WIT: how values cross between a document and a typed function. Pure functions.
//!
//! This folder owns the mapping and nothing else: it knows no HTTP, files, threads nor stores.
//! [`Shape`] is a type that can cross, built once at load; [`decode_args`], [`encode`] and
//! [`schema`] are three readings of one table (`rows.rs`).

mod args;
mod decode;
mod encode;
mod error;
mod json;
mod rows;
mod schema;
mod shape;
#[cfg(test)]
mod tests;

pub use args::{Args, decode_args, decode_byte_field, decode_query, decode_text_field};
pub use decode::{BYTE_LIST_BYTES_MAX, Limits, decode_value};
pub use encode::{bytes_of, encode};
pub use error::{ArgError, ArgErrorKind, EncodeError, NAMES_SHOWN_MAX, NotExposed, TEXT_CHARS_MAX};
pub use schema::{params_schema, schema};
pub use shape::{Case, Param, SHAPE_DEPTH_MAX, SHAPE_NODES_MAX, Shape, Sides};
