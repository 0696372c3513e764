//! Single numbers and words to values: what a JSON number or a text without structure stands for.
//!
//! Owns the parsing of digits, labels and base64, shared by JSON documents and plain texts (query,
//! form). It must not know where the text comes from, nor arrays and objects.

use super::budget::Budget;
use super::error::{ArgError, Decoded, one_of, quoted};
use super::json;
use super::rows::{BASE64, F32_OVERFLOW, INFINITY, IntRow, NAN, NEGATIVE_INFINITY, Row};
use super::shape::Shape;
use base64::Engine as _;
use wasmtime::component::Val;

/// Adds a label to a set of flags.
pub(super) fn add_label(
    labels: &[String],
    text: &str,
    set: &mut Vec<String>,
    budget: &mut Budget,
) -> Decoded<()> {
    let Some(label) = labels.iter().find(|label| *label == text) else {
        return Err(ArgError::bad(one_of(labels.iter().map(String::as_str)), quoted(text)));
    };
    if set.contains(label) {
        return Err(ArgError::bad("each flag once", quoted(text)));
    }
    budget.elements(1)?;
    set.push(budget.string(label)?);
    Ok(())
}

/// A value from a text, for shapes that JSON writes as a string; none if the text does not fit.
pub(super) fn of_text(shape: &Shape, text: &str, budget: &mut Budget) -> Decoded<Option<Val>> {
    Ok(match Row::of(shape) {
        Row::Int(row) => decimal(row, text),
        Row::Float32 => non_finite(text).map(|n| Val::Float32(n as f32)),
        Row::Float64 => non_finite(text).map(Val::Float64),
        Row::Char => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none()).map(Val::Char)
        }
        Row::Text => Some(Val::String(budget.string(text)?)),
        Row::Label(labels) => match labels.iter().find(|label| *label == text) {
            Some(label) => Some(Val::Enum(budget.string(label)?)),
            None => None,
        },
        Row::Bytes => {
            // Three bytes for four characters, less the padding: exact for what will decode.
            let padding = text.bytes().rev().take(2).filter(|b| *b == b'=').count();
            budget.byte_list((text.len() / 4 * 3).saturating_sub(padding))?;
            let bytes = BASE64.decode(text).ok();
            bytes.map(|bytes| Val::List(bytes.into_iter().map(Val::U8).collect()))
        }
        _ => None,
    })
}

/// What [`of_text`] would have accepted.
pub(super) fn text_expected(shape: &Shape) -> String {
    match Row::of(shape) {
        Row::Char => "char (a string of exactly one character)".to_owned(),
        Row::Label(labels) => one_of(labels.iter().map(String::as_str)).to_string(),
        Row::Bytes => "list<u8> (base64 with padding, or an array of numbers)".to_owned(),
        _ => shape.to_string(),
    }
}

/// An integer from a JSON number.
pub(super) fn int(row: &IntRow, number: &str) -> Option<Val> {
    json::integer(number).and_then(row.make)
}

/// An integer from a decimal string without superfluous signs and zeros.
fn decimal(row: &IntRow, text: &str) -> Option<Val> {
    let canonical = json::number_len(text) == Some(text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && text != "-0";
    if canonical { int(row, text) } else { None }
}

/// The nearest f32 of a JSON number, unless that is infinite.
///
/// The bound is judged on the nearest f64, as validators do that keep numbers in one.
pub(super) fn finite32(number: &str) -> Option<f32> {
    let nearest = number.parse::<f32>().ok()?;
    let clear = nearest.abs() < f32::MAX;
    (clear || number.parse::<f64>().ok()?.abs() < F32_OVERFLOW).then_some(nearest)
}

/// The nearest f64 of a JSON number, unless that is infinite.
pub(super) fn finite64(number: &str) -> Option<f64> {
    number.parse::<f64>().ok().filter(|n| n.is_finite())
}

fn non_finite(text: &str) -> Option<f64> {
    match text {
        NAN => Some(f64::NAN),
        INFINITY => Some(f64::INFINITY),
        NEGATIVE_INFINITY => Some(f64::NEG_INFINITY),
        _ => None,
    }
}
