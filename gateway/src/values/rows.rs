//! The mapping table: how a value of each [`Shape`] looks in JSON, stated once.
//!
//! Owns the rows and their constants (member names, number ranges, the base64 alphabet, which
//! shapes may be null or absent). The decoder, the encoder and the schema each match on [`Row`]
//! and hold no rule of their own. It must not know how JSON is read or written.

use super::shape::{Case, Param, Shape, Sides};
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use wasmtime::component::Val;

/// Member that names a variant's case.
pub(super) const TAG: &str = "tag";
/// Member that holds a variant's payload.
pub(super) const VAL: &str = "val";
/// Member of a result that went well; null when there is no payload.
pub(super) const OK: &str = "ok";
/// Member of a result that failed; null when there is no payload.
pub(super) const ERR: &str = "err";
/// Member that wraps the payload of an option whose payload may itself be null.
pub(super) const SOME: &str = "some";

/// Floats that JSON has no number for, as strings.
pub(super) const NAN: &str = "NaN";
/// See [`NAN`].
pub(super) const INFINITY: &str = "Infinity";
/// See [`NAN`].
pub(super) const NEGATIVE_INFINITY: &str = "-Infinity";

/// Largest integer that every JSON reader keeps exactly: 2^53 - 1 (RFC 8259, section 6).
pub(super) const SAFE_INTEGER_MAX: i128 = (1 << 53) - 1;

/// The first number that rounds to infinity as an f32: 2^128 - 2^103, exact as an f64.
pub(super) const F32_OVERFLOW: f64 = 340_282_356_779_733_661_637_539_395_458_142_568_448.0;

/// Base64 of byte lists: standard alphabet with padding (RFC 4648, section 4), canonical.
pub(super) const BASE64: GeneralPurpose = STANDARD;
/// What [`BASE64`] decodes, as an ECMA 262 pattern; the last letter before padding has no spare bits.
pub(super) const BASE64_PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*\
    (?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// How values of one shape look in JSON.
pub(super) enum Row<'s> {
    /// `true` or `false`.
    Bool,
    /// An integral number in a range; the 64-bit ones also as a decimal string.
    Int(&'static IntRow),
    /// A number, or one of the three strings for non-finite values.
    Float32,
    /// See [`Row::Float32`].
    Float64,
    /// A string of exactly one Unicode scalar value.
    Char,
    /// A string.
    Text,
    /// A base64 string; an array of numbers is accepted.
    Bytes,
    /// An array, of exactly `len` items if that is set.
    Items { item: &'s Shape, len: Option<u32> },
    /// An array with one item per shape.
    Slots(&'s [Shape]),
    /// An object with any names and values of one shape.
    Entries(&'s Shape),
    /// An array of `[key, value]`, keys unique.
    Pairs(&'s Shape, &'s Shape),
    /// An object with these members; those that [`may_be_absent`] can be left out.
    Members(&'s [Param]),
    /// `{tag, val}`, `{tag}` without payload; in that case the bare label is accepted too.
    Tagged(&'s [Case]),
    /// One of these strings.
    Label(&'s [String]),
    /// An array of these strings, each at most once.
    Labels(&'s [String]),
    /// The value or null; `{some: value}` if `wrapped`.
    Nullable { inner: &'s Shape, wrapped: bool },
    /// `{ok: …}` or `{err: …}`, null for no payload.
    Outcome(&'s Sides),
}

impl<'s> Row<'s> {
    /// The table itself.
    pub(super) fn of(shape: &'s Shape) -> Self {
        match shape {
            Shape::Bool => Row::Bool,
            Shape::S8 => Row::Int(&S8),
            Shape::U8 => Row::Int(&U8),
            Shape::S16 => Row::Int(&S16),
            Shape::U16 => Row::Int(&U16),
            Shape::S32 => Row::Int(&S32),
            Shape::U32 => Row::Int(&U32),
            Shape::S64 => Row::Int(&S64),
            Shape::U64 => Row::Int(&U64),
            Shape::F32 => Row::Float32,
            Shape::F64 => Row::Float64,
            Shape::Char => Row::Char,
            Shape::String => Row::Text,
            Shape::Bytes => Row::Bytes,
            Shape::List(item) => Row::Items { item, len: None },
            Shape::FixedList(item, len) => Row::Items { item, len: Some(*len) },
            Shape::Map(key, value) if **key == Shape::String => Row::Entries(value),
            Shape::Map(key, value) => Row::Pairs(key, value),
            Shape::Record(fields) => Row::Members(fields),
            Shape::Tuple(items) => Row::Slots(items),
            Shape::Variant(cases) => Row::Tagged(cases),
            Shape::Enum(labels) => Row::Label(labels),
            Shape::Flags(labels) => Row::Labels(labels),
            Shape::Option(inner) => Row::Nullable { inner, wrapped: may_be_null(inner) },
            Shape::Result(sides) => Row::Outcome(sides),
        }
    }
}

/// Whether some value of the shape is written as `null`.
pub(super) fn may_be_null(shape: &Shape) -> bool {
    matches!(shape, Shape::Option(_))
}

/// Whether a member of this shape may be left out; it then has the value [`absent`].
pub(super) fn may_be_absent(shape: &Shape) -> bool {
    matches!(shape, Shape::Option(_))
}

/// What a member that was left out stands for.
pub(super) fn absent() -> Val {
    Val::Option(None)
}

/// Whether `key` spells `name`: exactly, or with every `-` as `_`.
pub(super) fn spells(key: &str, name: &str) -> bool {
    key == name
        || key.len() == name.len()
            && key.bytes().zip(name.bytes()).all(|(k, n)| k == n && n != b'-' || k == b'_' && n == b'-')
}

/// One integer type: its range, its spelling as text, and its place in [`Val`].
pub(super) struct IntRow {
    /// Smallest value.
    pub(super) min: i128,
    /// Largest value.
    pub(super) max: i128,
    /// Whether a decimal string is accepted, and written beyond [`SAFE_INTEGER_MAX`].
    pub(super) text: bool,
    /// The value, if it is in range.
    pub(super) make: fn(i128) -> Option<Val>,
    /// The number, if the value is of this type.
    pub(super) take: fn(&Val) -> Option<i128>,
}

macro_rules! int_rows {
    ($($row:ident: $int:ty, text: $text:literal;)*) => {
        $(static $row: IntRow = IntRow {
            min: <$int>::MIN as i128,
            max: <$int>::MAX as i128,
            text: $text,
            make: |n| <$int>::try_from(n).ok().map(Val::$row),
            take: |val| if let Val::$row(n) = val { Some(i128::from(*n)) } else { None },
        };)*
    };
}

int_rows! {
    S8: i8, text: false;
    U8: u8, text: false;
    S16: i16, text: false;
    U16: u16, text: false;
    S32: i32, text: false;
    U32: u32, text: false;
    S64: i64, text: true;
    U64: u64, text: true;
}
