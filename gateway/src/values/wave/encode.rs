//! Value to WAVE text, written by the `wasm-wave` crate straight into the response's buffer.
//!
//! Owns the output bound and the refusal of what WAVE has no form for, for which the crate's writer
//! would panic. It must not know what the text is for.

use super::super::error::EncodeError;
use super::super::shape::Shape;
use super::NO_FORM;
use std::fmt::{self, Write as _};
use wasmtime::component::Val;
use wasmtime::component::wasm_wave::writer::Writer;

/// Appends the WAVE text of `val` to `out`, at most `limit_bytes` of it.
///
/// # Errors
/// [`EncodeError::TooLarge`] at the bound, with the text cut somewhere; [`EncodeError::NoForm`] for
/// a type that WAVE cannot express.
pub fn encode_wave(
    shape: &Shape,
    val: &Val,
    out: &mut Vec<u8>,
    limit_bytes: usize,
) -> Result<(), EncodeError> {
    if !has_form(shape) {
        return Err(EncodeError::NoForm { shape: shape.to_string(), why: NO_FORM });
    }
    let sink = Bounded { left: limit_bytes, out };
    Writer::new(sink).write_value(val).map_err(|_| EncodeError::TooLarge { limit_bytes })
}

/// Appends the WAVE text of a `list<u8>`, at most `limit_bytes` of it.
///
/// # Errors
/// [`EncodeError::TooLarge`] at the bound, with the text cut somewhere.
pub fn encode_wave_bytes(bytes: &[u8], out: &mut Vec<u8>, limit_bytes: usize) -> Result<(), EncodeError> {
    let mut sink = Bounded { left: limit_bytes, out };
    let mut list = || {
        sink.write_char('[')?;
        for (n, byte) in bytes.iter().enumerate() {
            write!(sink, "{}{byte}", if n > 0 { ", " } else { "" })?;
        }
        sink.write_char(']')
    };
    list().map_err(|_: fmt::Error| EncodeError::TooLarge { limit_bytes })
}

/// A buffer that takes so many bytes and no more.
struct Bounded<'o> {
    out: &'o mut Vec<u8>,
    left: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Whether every value of the type can be written.
fn has_form(shape: &Shape) -> bool {
    match shape {
        Shape::Map(..) => false,
        Shape::List(inner) | Shape::FixedList(inner, _) | Shape::Option(inner) => has_form(inner),
        Shape::Record(fields) => fields.iter().all(|field| has_form(&field.shape)),
        Shape::Tuple(slots) => slots.iter().all(has_form),
        Shape::Variant(cases) => cases.iter().all(|case| case.shape.as_ref().is_none_or(has_form)),
        Shape::Result(sides) => [&sides.ok, &sides.err].into_iter().flatten().all(has_form),
        _ => true,
    }
}
