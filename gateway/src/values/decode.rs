//! JSON to value, led by the type: the text is walked once and only what fits is built.
//!
//! Owns the walk, the bounds that are counted on the way, and the JSON pointer of a mistake (built
//! while an error travels outwards, so that a good document pays nothing for it). The rules of each
//! shape are in `rows.rs`; parameters as a whole are in `args.rs`.

use super::error::{ArgError, Decoded, one_of, quoted};
use super::json::{self, Reader, Token};
use super::rows::{
    BASE64, ERR, INFINITY, IntRow, NAN, NEGATIVE_INFINITY, OK, Row, SOME, TAG, VAL, absent, may_be_absent,
    spells,
};
use super::shape::{Case, Param, Shape, Sides};
use base64::Engine as _;
use std::borrow::Cow;
use std::collections::HashSet;
use wasmtime::component::Val;

/// Largest byte list of a call that goes the dynamic way, in bytes. Each byte costs the host 40
/// bytes there, and 1 MiB takes a quarter of a second to cross.
pub const BYTE_LIST_BYTES_MAX: usize = 1 << 20;

/// Bounds of one decoding, all met before the value behind them is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and objects, in levels.
    pub depth_max: usize,
    /// Most values of all types together; each costs 40 bytes of host memory. A record's field
    /// counts twice, since its name is stored beside it.
    pub elements_max: usize,
    /// Most bytes of all strings, labels and field names together.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// 128 levels (two per level of the deepest [`Shape`], and room), 2 Mi values, 16 MiB of text.
    fn default() -> Self {
        Self { depth_max: 128, elements_max: 2 << 20, bytes_max: 16 << 20 }
    }
}

/// What is left of the [`Limits`] while one call's arguments are decoded.
pub(super) struct Budget {
    limits: Limits,
    elements: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, elements: limits.elements_max, bytes: limits.bytes_max }
    }

    pub(super) fn elements(&mut self, count: usize) -> Decoded<()> {
        match self.elements.checked_sub(count) {
            Some(left) => self.elements = left,
            None => {
                let max = self.limits.elements_max;
                let expected = format_args!("at most {max} values in all (limit elements_max)");
                return Err(ArgError::too_large("elements_max", expected, "more"));
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Decoded<()> {
        match self.bytes.checked_sub(count) {
            Some(left) => self.bytes = left,
            None => {
                let max = self.limits.bytes_max;
                let expected = format_args!("at most {max} bytes of text in all (limit bytes_max)");
                return Err(ArgError::too_large("bytes_max", expected, "more"));
            }
        }
        Ok(())
    }

    /// Charges a string before it is copied.
    pub(super) fn string(&mut self, text: &str) -> Decoded<String> {
        self.bytes(text.len())?;
        Ok(text.to_owned())
    }

    /// Charges a byte list before it is built.
    pub(super) fn byte_list(&mut self, len: usize) -> Decoded<()> {
        if len > BYTE_LIST_BYTES_MAX {
            let expected = format_args!(
                "list<u8> of at most {BYTE_LIST_BYTES_MAX} bytes; for more, make it the only parameter \
                 (raw body) or use unblock:task/body"
            );
            let found = format_args!("{len} bytes or more");
            return Err(ArgError::too_large("byte_list_bytes_max", expected, found));
        }
        self.elements(len)
    }

    pub(super) fn depth_max(&self) -> usize {
        self.limits.depth_max
    }
}

/// Decodes one JSON document as a value of `shape`.
///
/// # Errors
/// [`ArgError`] of kind `BadJson` for text that is no JSON (RFC 8259), `BadArguments` for JSON that
/// does not fit, `TooLarge` when a bound is met; the pointer is relative to the value.
pub fn decode_value(shape: &Shape, json: &[u8], limits: &Limits) -> Result<Val, ArgError> {
    let mut budget = Budget::new(limits);
    whole(shape, json, &mut budget).map_err(|error| *error)
}

/// One whole document.
pub(super) fn whole(shape: &Shape, json: &[u8], budget: &mut Budget) -> Decoded<Val> {
    let mut walk = Walk { reader: Reader::new(json, budget.depth_max())?, budget };
    let val = walk.value(shape)?;
    walk.reader.end()?;
    Ok(val)
}

/// One pass over one document.
pub(super) struct Walk<'a, 'b> {
    pub(super) reader: Reader<'a>,
    pub(super) budget: &'b mut Budget,
}

impl Walk<'_, '_> {
    /// The next value, which must be of `shape`.
    pub(super) fn value(&mut self, shape: &Shape) -> Decoded<Val> {
        self.budget.elements(1)?;
        let token = self.reader.peek()?;
        match (Row::of(shape), token) {
            (Row::Nullable { .. }, Token::Null) => {
                self.reader.word(token);
                Ok(absent())
            }
            (Row::Nullable { inner, wrapped: false }, _) => {
                Ok(Val::Option(Some(Box::new(self.value(inner)?))))
            }
            (Row::Nullable { inner, wrapped: true }, Token::Object) => self.wrapped(shape, inner),
            (Row::Bool, Token::True | Token::False) => {
                self.reader.word(token);
                Ok(Val::Bool(token == Token::True))
            }
            (Row::Int(row), Token::Number) => self.scalar(shape, |number| int(row, number)),
            (Row::Float32, Token::Number) => self.scalar(shape, |number| finite32(number).map(Val::Float32)),
            (Row::Float64, Token::Number) => self.scalar(shape, |number| finite64(number).map(Val::Float64)),
            (
                Row::Int(IntRow { text: true, .. })
                | Row::Float32
                | Row::Float64
                | Row::Char
                | Row::Text
                | Row::Bytes
                | Row::Label(_),
                Token::Text,
            ) => self.text(shape),
            (Row::Bytes, Token::Array) => self.bytes_of_numbers(),
            (Row::Items { item, len: None }, Token::Array) => self.items(item).map(Val::List),
            (Row::Items { item, len: Some(len) }, Token::Array) => self.fixed(shape, item, len),
            (Row::Slots(slots), Token::Array) => self.slots(shape, slots),
            (Row::Labels(labels), Token::Array) => self.labels(labels),
            (Row::Pairs(key, value), Token::Array) => self.pairs(key, value),
            (Row::Entries(value), Token::Object) => self.entries(value),
            (Row::Members(fields), Token::Object) => self.record(fields),
            (Row::Tagged(cases), Token::Object) => self.tagged(cases),
            (Row::Tagged(cases), Token::Text) => self.bare_case(cases),
            (Row::Outcome(sides), Token::Object) => self.outcome(shape, sides),
            _ => Err(self.mismatch(shape)),
        }
    }

    /// An error about the value at the cursor; bad JSON wins over a bad type.
    fn mismatch(&mut self, expected: impl std::fmt::Display) -> Box<ArgError> {
        match self.reader.found() {
            Ok(found) => ArgError::bad(expected, found),
            Err(error) => error,
        }
    }

    fn scalar(&mut self, shape: &Shape, parse: impl FnOnce(&str) -> Option<Val>) -> Decoded<Val> {
        let mark = self.reader.mark();
        let number = self.reader.number()?;
        parse(number).ok_or_else(|| {
            self.reader.go(mark);
            self.mismatch(shape)
        })
    }

    fn text(&mut self, shape: &Shape) -> Decoded<Val> {
        let mark = self.reader.mark();
        let (raw, escaped) = self.reader.raw_string()?;
        if escaped {
            // The copy without escapes is never longer than the text it comes from.
            self.budget.bytes(raw.len())?;
        }
        let text = match (Row::of(shape), self.reader.unescape(raw, escaped)?) {
            (Row::Text, Cow::Owned(text)) => return Ok(Val::String(text)),
            (_, text) => text,
        };
        match of_text(shape, &text, self.budget)? {
            Some(val) => Ok(val),
            None => {
                self.reader.go(mark);
                Err(self.mismatch(text_expected(shape)))
            }
        }
    }

    fn wrapped(&mut self, shape: &Shape, inner: &Shape) -> Decoded<Val> {
        let mut val = None;
        self.object(|walk, key| {
            if key != SOME {
                return Err(ArgError::unknown_name(key, [SOME].into_iter()));
            }
            walk.once(&val)?;
            val = Some(walk.value(inner)?);
            Ok(())
        })?;
        let missing =
            || ArgError::bad(format_args!("{{\"some\": …}} or null for {shape}"), "an empty object");
        Ok(Val::Option(Some(Box::new(val.ok_or_else(missing)?))))
    }

    /// Passes the members of an object; errors of `member` get its name in their pointer.
    pub(super) fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Decoded<()>) -> Decoded<()> {
        self.reader.open()?;
        let mut first = true;
        while self.reader.next(&mut first, b'}')? {
            let key = self.reader.key()?;
            member(self, &key).map_err(|error| error.at(&key))?;
        }
        Ok(())
    }

    /// Passes the items of an array; errors of `item` get its index in their pointer.
    pub(super) fn array(&mut self, mut item: impl FnMut(&mut Self, usize) -> Decoded<()>) -> Decoded<()> {
        self.reader.open()?;
        let mut first = true;
        let mut index = 0;
        while self.reader.next(&mut first, b']')? {
            item(self, index).map_err(|error| error.at(index))?;
            index += 1;
        }
        Ok(())
    }

    fn once<T>(&self, earlier: &Option<T>) -> Decoded<()> {
        if earlier.is_some() { Err(ArgError::bad("each name once", "a second value")) } else { Ok(()) }
    }

    fn items(&mut self, item: &Shape) -> Decoded<Vec<Val>> {
        let mut vals = Vec::new();
        self.array(|walk, _| {
            vals.push(walk.value(item)?);
            Ok(())
        })?;
        Ok(vals)
    }

    fn bytes_of_numbers(&mut self) -> Decoded<Val> {
        let mut vals = Vec::new();
        self.array(|walk, index| {
            if index >= BYTE_LIST_BYTES_MAX {
                walk.budget.byte_list(index + 1)?;
            }
            vals.push(walk.value(&Shape::U8)?);
            Ok(())
        })?;
        Ok(Val::List(vals))
    }

    fn fixed(&mut self, shape: &Shape, item: &Shape, len: u32) -> Decoded<Val> {
        let mut vals = Vec::new();
        self.array(|walk, index| {
            if u32::try_from(index).map_or(true, |index| index >= len) {
                return Err(ArgError::bad(format_args!("{len} items for {shape}"), "more"));
            }
            vals.push(walk.value(item)?);
            Ok(())
        })?;
        if u32::try_from(vals.len()) != Ok(len) {
            return Err(ArgError::bad(
                format_args!("{len} items for {shape}"),
                format_args!("{}", vals.len()),
            ));
        }
        Ok(Val::FixedLengthList(vals))
    }

    fn slots(&mut self, shape: &Shape, slots: &[Shape]) -> Decoded<Val> {
        let count = slots.len();
        let mut vals = Vec::with_capacity(count);
        self.array(|walk, index| {
            let slot = slots
                .get(index)
                .ok_or_else(|| ArgError::bad(format_args!("{count} items for {shape}"), "more"))?;
            vals.push(walk.value(slot)?);
            Ok(())
        })?;
        if vals.len() != count {
            return Err(ArgError::bad(format_args!("{count} items for {shape}"), vals.len()));
        }
        Ok(Val::Tuple(vals))
    }

    fn labels(&mut self, labels: &[String]) -> Decoded<Val> {
        let mut set: Vec<String> = Vec::new();
        self.array(|walk, _| {
            let token = walk.reader.peek()?;
            if token != Token::Text {
                return Err(walk.mismatch(one_of(labels.iter().map(String::as_str))));
            }
            let (raw, escaped) = walk.reader.raw_string()?;
            let text = walk.reader.unescape(raw, escaped)?;
            add_label(labels, &text, &mut set, walk.budget)
        })?;
        Ok(Val::Flags(set))
    }

    fn entries(&mut self, value: &Shape) -> Decoded<Val> {
        let mut seen = HashSet::new();
        let mut entries = Vec::new();
        self.object(|walk, key| {
            if !seen.insert(key.to_owned()) {
                return Err(ArgError::bad("each key once", "a second value"));
            }
            walk.budget.elements(1)?;
            // Twice: the value and the set of keys seen.
            walk.budget.bytes(key.len())?;
            let key = Val::String(walk.budget.string(key)?);
            entries.push((key, walk.value(value)?));
            Ok(())
        })?;
        Ok(Val::Map(entries))
    }

    fn pairs(&mut self, key: &Shape, value: &Shape) -> Decoded<Val> {
        let slots = [key.clone(), value.clone()];
        let pair = Shape::Tuple(slots.to_vec().into());
        let mut seen = HashSet::new();
        let mut pairs = Vec::new();
        self.array(|walk, _| {
            if walk.reader.peek()? != Token::Array {
                return Err(walk.mismatch(&pair));
            }
            if let Val::Tuple(items) = walk.slots(&pair, &slots)? {
                if let Ok([k, v]) = <[Val; 2]>::try_from(items) {
                    let mut text = Vec::new();
                    // A key was just decoded, so it can be encoded, and is shorter than its bound.
                    let _ = super::encode::encode(key, &k, &mut text, usize::MAX);
                    if !seen.insert(text) {
                        return Err(ArgError::bad("each key once", "a second value").at(0));
                    }
                    pairs.push((k, v));
                }
            }
            Ok(())
        })?;
        Ok(Val::Map(pairs))
    }

    /// The members of an object by name, in the order of `fields`; none where one was left out.
    pub(super) fn members(&mut self, fields: &[Param], slots: &mut [Option<Val>]) -> Decoded<()> {
        let mut expected = 0;
        self.object(|walk, key| {
            let from_expected = fields.iter().enumerate().skip(expected);
            let index = from_expected
                .chain(fields.iter().enumerate().take(expected))
                .find(|(_, field)| spells(key, &field.name))
                .map(|(index, _)| index);
            let Some((index, field)) = index.and_then(|index| Some((index, fields.get(index)?))) else {
                return Err(ArgError::unknown_name(key, fields.iter().map(|field| field.name.as_str())));
            };
            let Some(slot) = slots.get_mut(index) else { return Ok(()) };
            walk.once(slot)?;
            expected = index + 1;
            *slot = Some(walk.value(&field.shape)?);
            Ok(())
        })
    }

    fn record(&mut self, fields: &[Param]) -> Decoded<Val> {
        // One more per field: its name is a string of its own in every value.
        self.budget.elements(fields.len())?;
        let mut slots: Vec<Option<Val>> = Vec::new();
        slots.resize_with(fields.len(), || None);
        self.members(fields, &mut slots)?;
        self.budget.elements(slots.iter().filter(|slot| slot.is_none()).count())?;
        let mut vals = Vec::with_capacity(fields.len());
        for (field, slot) in fields.iter().zip(slots) {
            vals.push((self.budget.string(&field.name)?, present(field, slot)?));
        }
        Ok(Val::Record(vals))
    }

    fn bare_case(&mut self, cases: &[Case]) -> Decoded<Val> {
        let mark = self.reader.mark();
        let (raw, escaped) = self.reader.raw_string()?;
        let label = self.reader.unescape(raw, escaped)?;
        match cases.iter().find(|case| case.name == label) {
            Some(Case { name, shape: None }) => Ok(Val::Variant(self.budget.string(name)?, None)),
            Some(Case { name, shape: Some(payload) }) => {
                self.reader.go(mark);
                Err(self.mismatch(format_args!("{{\"tag\": {}, \"val\": {payload}}}", quoted(name))))
            }
            None => {
                self.reader.go(mark);
                Err(self.mismatch(one_of(cases.iter().map(|case| case.name.as_str()))))
            }
        }
    }

    fn tagged(&mut self, cases: &[Case]) -> Decoded<Val> {
        let mut case: Option<&Case> = None;
        let mut ahead = None;
        let mut val = None;
        self.object(|walk, key| match key {
            TAG => {
                walk.once(&case)?;
                case = Some(walk.case(cases)?);
                Ok(())
            }
            VAL => {
                walk.once(&val)?;
                walk.once(&ahead)?;
                match case {
                    Some(case) => val = Some(walk.payload(case)?),
                    // The type is not known yet: pass the value and come back.
                    None => {
                        walk.reader.peek()?;
                        ahead = Some(walk.reader.mark());
                        walk.reader.skip()?;
                    }
                }
                Ok(())
            }
            other => Err(ArgError::unknown_name(other, [TAG, VAL].into_iter())),
        })?;
        let names = || one_of(cases.iter().map(|case| case.name.as_str()));
        let case = case.ok_or_else(|| ArgError::bad(names(), "nothing").at(TAG))?;
        if let Some(ahead) = ahead {
            let end = self.reader.mark();
            self.reader.go(ahead);
            val = Some(self.payload(case).map_err(|error| error.at(VAL))?);
            self.reader.go(end);
        }
        let val = match (&case.shape, val) {
            (Some(shape), None) if may_be_absent(shape) => Some(Box::new(absent())),
            (Some(shape), None) => return Err(ArgError::bad(shape, "nothing").at(VAL)),
            (_, val) => val.map(Box::new),
        };
        Ok(Val::Variant(self.budget.string(&case.name)?, val))
    }

    fn case<'c>(&mut self, cases: &'c [Case]) -> Decoded<&'c Case> {
        let names = || one_of(cases.iter().map(|case| case.name.as_str()));
        if self.reader.peek()? != Token::Text {
            return Err(self.mismatch(names()));
        }
        let (raw, escaped) = self.reader.raw_string()?;
        let label = self.reader.unescape(raw, escaped)?;
        cases.iter().find(|case| case.name == label).ok_or_else(|| ArgError::bad(names(), quoted(&label)))
    }

    fn payload(&mut self, case: &Case) -> Decoded<Val> {
        match &case.shape {
            Some(shape) => self.value(shape),
            None => Err(self.mismatch(format_args!("no payload for {}", quoted(&case.name)))),
        }
    }

    fn outcome(&mut self, shape: &Shape, sides: &Sides) -> Decoded<Val> {
        let mut outcome = None;
        self.object(|walk, key| {
            let side = match key {
                OK => &sides.ok,
                ERR => &sides.err,
                other => return Err(ArgError::unknown_name(other, [OK, ERR].into_iter())),
            };
            if outcome.is_some() {
                return Err(ArgError::bad("either \"ok\" or \"err\"", "a second one"));
            }
            let val = match side {
                Some(shape) => Some(Box::new(walk.value(shape)?)),
                None if walk.reader.peek()? == Token::Null => {
                    walk.reader.word(Token::Null);
                    None
                }
                None => return Err(walk.mismatch("null (no payload)")),
            };
            outcome = Some(if key == OK { Ok(val) } else { Err(val) });
            Ok(())
        })?;
        let missing =
            || ArgError::bad(format_args!("{{\"ok\": …}} or {{\"err\": …}} for {shape}"), "an empty object");
        Ok(Val::Result(outcome.ok_or_else(missing)?))
    }
}

/// The value of a member, or what its absence means.
pub(super) fn present(field: &Param, val: Option<Val>) -> Decoded<Val> {
    match val {
        Some(val) => Ok(val),
        None if may_be_absent(&field.shape) => Ok(absent()),
        None => Err(ArgError::bad(&field.shape, "nothing").at(&field.name)),
    }
}

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
            // Three bytes for four characters, less the padding: never under-estimated by more than two.
            budget.byte_list((text.len() / 4 * 3).saturating_sub(2))?;
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
pub(super) fn finite32(number: &str) -> Option<f32> {
    number.parse::<f32>().ok().filter(|n| n.is_finite())
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
