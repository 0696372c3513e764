//! WAVE ⇄ WIT: the second text format, the one the component model's own tools print.
//!
//! Tokens, escapes and the writer are those of the `wasm-wave` crate; the walk is our own, led by
//! the type like the JSON decoder's and under the same bounds, since the crate's builds a tree of
//! whatever it reads first, and passes over unknown fields. It must not know media types nor the
//! command line.
//!
//! A document of parameters is a record (`{seconds: 0.25}`) or a tuple by position (`(0.25)`, as in
//! the call `sleep(0.25)`); a value is written as the crate writes it: `{a: 1, b: some("x")}`. What
//! WAVE leaves to the type is taken as the crate takes it: an option or a result without `some` or
//! `ok` around its value, unless that is an option or a result itself. A map has no form in WAVE.

mod decode;
mod encode;
mod read;

pub use decode::decode_wave;
pub(super) use decode::read_args;
pub use encode::{encode_wave, encode_wave_bytes};

/// What has no form in WAVE, for errors.
const NO_FORM: &str = "a map has no form in WAVE; use JSON";
