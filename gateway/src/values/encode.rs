//! Value to JSON text, led by the type, written straight into the response's buffer.
//!
//! Owns the walk and the output bound. The rules of each shape are in `rows.rs`. It must not know
//! what the text is for, nor which part of a top-level `result` becomes an error.

use super::error::{EncodeError, clip, sort};
use super::rows::{
    BASE64, ERR, INFINITY, IntRow, NAN, NEGATIVE_INFINITY, OK, Row, SAFE_INTEGER_MAX, SOME, TAG, VAL,
};
use super::shape::{Case, Param, Shape, Sides};
use base64::Engine as _;
use std::collections::HashMap;
use wasmtime::component::Val;

/// Bytes of a byte list that are encoded at a time; a multiple of three, so that only the last is padded.
const BASE64_CHUNK_BYTES: usize = 3 * 256;

/// Base64 of a chunk, in bytes.
const BASE64_CHUNK_TEXT_BYTES: usize = 4 * 256;

/// Appends the JSON text of `val` to `out`, at most `limit_bytes` of it.
///
/// # Errors
/// [`EncodeError::TooLarge`] at the bound, with the text cut somewhere; [`EncodeError::Mismatch`] if
/// the value is not of that shape.
pub fn encode(shape: &Shape, val: &Val, out: &mut Vec<u8>, limit_bytes: usize) -> Result<(), EncodeError> {
    let end = out.len().saturating_add(limit_bytes);
    Writer { out, end, limit_bytes }.value(shape, val)
}

/// The bytes of a `list<u8>` value, as they are.
///
/// # Errors
/// [`EncodeError::TooLarge`] beyond `limit_bytes`, [`EncodeError::Mismatch`] for any other value.
pub fn bytes_of(val: &Val, limit_bytes: usize) -> Result<Vec<u8>, EncodeError> {
    let mismatch = |val| EncodeError::Mismatch { expected: "list<u8>".to_owned(), found: sort(val) };
    let Val::List(items) = val else { return Err(mismatch(val)) };
    if items.len() > limit_bytes {
        return Err(EncodeError::TooLarge { limit_bytes });
    }
    let byte = |item| if let &Val::U8(byte) = item { Ok(byte) } else { Err(mismatch(item)) };
    items.iter().map(byte).collect()
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    end: usize,
    limit_bytes: usize,
}

type Written = Result<(), EncodeError>;

impl Writer<'_> {
    fn value(&mut self, shape: &Shape, val: &Val) -> Written {
        match (Row::of(shape), val) {
            (Row::Bool, Val::Bool(val)) => self.put(if *val { "true" } else { "false" }),
            (Row::Int(row), val) => match (row.take)(val) {
                Some(number) => self.integer(row, number),
                None => mismatch(shape, val),
            },
            (Row::Float32, Val::Float32(val)) => match val.is_finite() {
                true => self.serde(val),
                false => self.non_finite(f64::from(*val)),
            },
            (Row::Float64, Val::Float64(val)) => match val.is_finite() {
                true => self.serde(val),
                false => self.non_finite(*val),
            },
            (Row::Char, Val::Char(val)) => self.string(val.encode_utf8(&mut [0; 4])),
            (Row::Text, Val::String(val)) => self.string(val),
            (Row::Bytes, Val::List(items)) => self.base64(shape, items),
            (Row::Items { item, len: None }, Val::List(items)) => {
                self.array(items, |w, val| w.value(item, val))
            }
            (Row::Items { item, len: Some(len) }, Val::FixedLengthList(items))
                if u32::try_from(items.len()) == Ok(len) =>
            {
                self.array(items, |w, val| w.value(item, val))
            }
            (Row::Slots(slots), Val::Tuple(items)) if slots.len() == items.len() => {
                self.array(slots.iter().zip(items), |w, (slot, val)| w.value(slot, val))
            }
            (Row::Labels(labels), Val::Flags(set)) if set.iter().all(|label| labels.contains(label)) => {
                self.array(set, |w, label| w.string(label))
            }
            (Row::Label(labels), Val::Enum(label)) if labels.contains(label) => self.string(label),
            (Row::Entries(value), Val::Map(entries)) => self.entries(shape, value, entries),
            (Row::Pairs(key, value), Val::Map(pairs)) => self.array(pairs, |w, (k, v)| {
                w.put("[")?;
                w.value(key, k)?;
                w.put(",")?;
                w.value(value, v)?;
                w.put("]")
            }),
            (Row::Members(fields), Val::Record(vals)) => self.members(shape, val, fields, vals),
            (Row::Tagged(cases), Val::Variant(label, payload)) => {
                self.tagged(shape, val, cases, label, payload.as_deref())
            }
            (Row::Nullable { .. }, Val::Option(None)) => self.put("null"),
            (Row::Nullable { inner, wrapped: false }, Val::Option(Some(val))) => self.value(inner, val),
            (Row::Nullable { inner, wrapped: true }, Val::Option(Some(val))) => {
                self.put("{")?;
                self.name(SOME)?;
                self.value(inner, val)?;
                self.put("}")
            }
            (Row::Outcome(sides), Val::Result(result)) => self.outcome(shape, val, sides, result),
            _ => mismatch(shape, val),
        }
    }

    fn put(&mut self, text: &str) -> Written {
        self.room(text.len())?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn room(&self, bytes: usize) -> Written {
        if self.end.saturating_sub(self.out.len()) < bytes {
            return Err(EncodeError::TooLarge { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    /// Numbers and strings as `serde_json` writes them: the shortest digits that read back as the
    /// same float, and the fewest escapes.
    fn serde<T: serde::Serialize + ?Sized>(&mut self, val: &T) -> Written {
        // Writing a number or a string to a vector cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, val);
        if self.out.len() > self.end {
            return Err(EncodeError::TooLarge { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Written {
        self.room(text.len().saturating_add(2))?;
        self.serde(text)
    }

    fn name(&mut self, name: &str) -> Written {
        self.string(name)?;
        self.put(":")
    }

    fn integer(&mut self, row: &IntRow, number: i128) -> Written {
        let quote = row.text && !(-SAFE_INTEGER_MAX..=SAFE_INTEGER_MAX).contains(&number);
        if quote {
            self.put("\"")?;
        }
        // Every WIT integer fits one of the two; the 128-bit path is several times slower.
        match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => self.serde(&number)?,
            (_, Ok(number)) => self.serde(&number)?,
            _ => self.serde(&number)?,
        }
        if quote { self.put("\"") } else { Ok(()) }
    }

    fn non_finite(&mut self, number: f64) -> Written {
        self.string(match number {
            number if number.is_nan() => NAN,
            number if number > 0.0 => INFINITY,
            _ => NEGATIVE_INFINITY,
        })
    }

    fn base64(&mut self, shape: &Shape, items: &[Val]) -> Written {
        let text_len = base64::encoded_len(items.len(), true).unwrap_or(usize::MAX).saturating_add(2);
        self.room(text_len)?;
        self.out.reserve(text_len);
        self.put("\"")?;
        let mut chunk = Vec::with_capacity(BASE64_CHUNK_BYTES);
        let mut text = [0; BASE64_CHUNK_TEXT_BYTES];
        for part in items.chunks(BASE64_CHUNK_BYTES) {
            chunk.clear();
            for item in part {
                let Val::U8(byte) = item else { return mismatch(shape, item) };
                chunk.push(*byte);
            }
            // The text of a chunk always fits, by the ratio of the two constants.
            let len = BASE64.encode_slice(&chunk, &mut text).unwrap_or_default();
            self.out.extend_from_slice(text.get(..len).unwrap_or_default());
        }
        self.put("\"")
    }

    fn array<I: IntoIterator>(
        &mut self,
        items: I,
        mut item: impl FnMut(&mut Self, I::Item) -> Written,
    ) -> Written {
        self.put("[")?;
        for (n, val) in items.into_iter().enumerate() {
            if n > 0 {
                self.put(",")?;
            }
            item(self, val)?;
        }
        self.put("]")
    }

    fn members(&mut self, shape: &Shape, val: &Val, fields: &[Param], vals: &[(String, Val)]) -> Written {
        if fields.len() != vals.len() {
            return mismatch(shape, val);
        }
        self.put("{")?;
        for (n, (field, (name, member))) in fields.iter().zip(vals).enumerate() {
            if *name != field.name {
                return mismatch(shape, val);
            }
            if n > 0 {
                self.put(",")?;
            }
            self.name(name)?;
            self.value(&field.shape, member)?;
        }
        self.put("}")
    }

    /// A guest may repeat a key; the last one counts, as the component model has it.
    fn entries(&mut self, shape: &Shape, value: &Shape, entries: &[(Val, Val)]) -> Written {
        let mut last = HashMap::new();
        for (n, (key, _)) in entries.iter().enumerate() {
            let Val::String(key) = key else { return mismatch(shape, key) };
            last.insert(key.as_str(), n);
        }
        self.put("{")?;
        let mut first = true;
        for (n, (key, val)) in entries.iter().enumerate() {
            let Val::String(key) = key else { return mismatch(shape, key) };
            if last.get(key.as_str()) != Some(&n) {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.put(",")?;
            }
            self.name(key)?;
            self.value(value, val)?;
        }
        self.put("}")
    }

    fn tagged(
        &mut self,
        shape: &Shape,
        val: &Val,
        cases: &[Case],
        label: &str,
        payload: Option<&Val>,
    ) -> Written {
        let Some(case) = cases.iter().find(|case| case.name == label) else { return mismatch(shape, val) };
        self.put("{")?;
        self.name(TAG)?;
        self.string(label)?;
        match (&case.shape, payload) {
            (Some(shape), Some(payload)) => {
                self.put(",")?;
                self.name(VAL)?;
                self.value(shape, payload)?;
            }
            (None, None) => {}
            _ => return mismatch(shape, val),
        }
        self.put("}")
    }

    fn outcome(
        &mut self,
        shape: &Shape,
        val: &Val,
        sides: &Sides,
        result: &Result<Option<Box<Val>>, Option<Box<Val>>>,
    ) -> Written {
        let (name, side, payload) = match result {
            Ok(payload) => (OK, &sides.ok, payload),
            Err(payload) => (ERR, &sides.err, payload),
        };
        self.put("{")?;
        self.name(name)?;
        match (side, payload) {
            (Some(shape), Some(payload)) => self.value(shape, payload)?,
            (None, None) => self.put("null")?,
            _ => return mismatch(shape, val),
        }
        self.put("}")
    }
}

fn mismatch(shape: &Shape, val: &Val) -> Written {
    let expected = clip(shape, super::error::TEXT_CHARS_MAX);
    Err(EncodeError::Mismatch { expected, found: sort(val) })
}
