//! JSON to value, led by the type: the text is walked once and only what fits is built.
//!
//! Owns the walk over arrays and objects, and the JSON pointer of a mistake (built while an error
//! travels outwards, so that a good document pays nothing for it). The rules of each shape are in
//! `rows.rs`, single words and numbers in `scalars.rs`, the bounds in `budget.rs`; parameters as a
//! whole are in `args.rs`.

use super::budget::{BYTE_LIST_BYTES_MAX, Budget, Limits};
use super::encode::encode;
use super::error::{ArgError, Decoded, one_of, quoted};
use super::json::{Reader, Token};
use super::rows::{ERR, IntRow, OK, Row, SOME, TAG, VAL, absent, may_be_absent, spells};
use super::scalars::{add_label, finite32, finite64, int, of_text, text_expected};
use super::shape::{Case, Param, Shape, Sides};
use std::borrow::Cow;
use std::collections::HashSet;
use wasmtime::component::Val;

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
            if let Val::Tuple(items) = walk.slots(&pair, &slots)?
                && let Ok([k, v]) = <[Val; 2]>::try_from(items)
            {
                let mut text = Vec::new();
                // A key that was just decoded can be encoded, and is no longer than what came in.
                let _ = encode(key, &k, &mut text, usize::MAX);
                if !seen.insert(text) {
                    return Err(ArgError::bad("each key once", "a second value").at(0));
                }
                pairs.push((k, v));
            }
            Ok(())
        })?;
        Ok(Val::Map(pairs))
    }

    /// The members of an object by name, in the order of `fields`; none where one was left out.
    pub(super) fn members(&mut self, fields: &[Param], slots: &mut [Option<Val>]) -> Decoded<()> {
        let mut expected = 0;
        self.object(|walk, key| {
            let spelled = |field: &Param| spells(key, &field.name);
            // Most documents follow the order of the fields.
            let index = match fields.get(expected) {
                Some(field) if spelled(field) => Some(expected),
                _ => fields.iter().position(spelled),
            };
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
