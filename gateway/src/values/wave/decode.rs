//! WAVE to value, led by the type: the text is walked once and only what fits is built.
//!
//! Owns the walk; how deep it goes is bounded by the type, which is bounded itself, whatever the
//! text says. The rules that both formats share are in `rows.rs` and `scalars.rs`, the bounds in
//! `budget.rs`.

use super::super::budget::{BYTE_LIST_BYTES_MAX, Budget, Limits};
use super::super::decode::present;
use super::super::error::{ArgError, Decoded, one_of};
use super::super::rows::{Row, absent, may_be_absent};
use super::super::scalars::{add_label, finite32, finite64, int};
use super::super::shape::{Case, Param, Shape, Sides};
use super::NO_FORM;
use super::read::{Reader, Token};
use std::fmt;
use wasmtime::component::Val;
use wasmtime::component::wasm_wave::lex::Keyword;

/// Decodes one WAVE document as a value of `shape`.
///
/// # Errors
/// [`ArgError`] of kind `BadArguments`, with line and column in what was found, or `TooLarge` when
/// a bound is met; the pointer is relative to the value.
pub fn decode_wave(shape: &Shape, wave: &[u8], limits: &Limits) -> Result<Val, ArgError> {
    let whole = || {
        let mut walk = Walk { reader: Reader::new(wave)?, budget: &mut Budget::new(limits) };
        let val = walk.value(shape)?;
        walk.reader.end()?;
        Ok(val)
    };
    whole().map_err(|error: Box<ArgError>| *error)
}

/// Takes parameters from a document: a record by name, a tuple by position, or nothing at all.
pub(in super::super) fn read_args(
    params: &[Param],
    vals: &mut [Option<Val>],
    wave: &[u8],
    budget: &mut Budget,
) -> Decoded<()> {
    let mut walk = Walk { reader: Reader::new(wave)?, budget };
    match walk.reader.peek()? {
        None => return Ok(()),
        Some(Token::Mark('{')) => walk.members(params, vals)?,
        Some(Token::Mark('(')) => {
            let mut slots = params.iter().zip(vals);
            walk.sequence(')', |walk, _| {
                let Some((param, slot)) = slots.next() else {
                    return Err(walk.reader.found_instead(Accepted(params)));
                };
                walk.once(slot)?;
                *slot = Some(walk.value(&param.shape)?);
                Ok(())
            })?;
        }
        Some(_) => return Err(walk.reader.found_instead(Accepted(params))),
    }
    walk.reader.end()
}

/// Prints what a document may be: `a record {width: u32, note?: string} or a tuple in that order`.
struct Accepted<'p>(&'p [Param]);

impl fmt::Display for Accepted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record {")?;
        for (n, param) in self.0.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            let mark = if may_be_absent(&param.shape) { "?" } else { "" };
            write!(f, "{comma}{}{mark}: {}", param.name, param.shape)?;
        }
        f.write_str("} or a tuple (…) in that order")
    }
}

/// One pass over one document.
struct Walk<'a, 'b> {
    reader: Reader<'a>,
    budget: &'b mut Budget,
}

impl Walk<'_, '_> {
    /// The next value, which must be of `shape`.
    fn value(&mut self, shape: &Shape) -> Decoded<Val> {
        self.budget.elements(1)?;
        let token = self.reader.peek()?;
        let plain = match (Row::of(shape), token) {
            (Row::Bool, Some(Token::Keyword(Keyword::True))) => Some(Val::Bool(true)),
            (Row::Bool, Some(Token::Keyword(Keyword::False))) => Some(Val::Bool(false)),
            (Row::Int(row), Some(Token::Number(number))) => int(row, number),
            (Row::Float32, Some(token)) => float(token, finite32, f32::INFINITY, f32::NAN).map(Val::Float32),
            (Row::Float64, Some(token)) => float(token, finite64, f64::INFINITY, f64::NAN).map(Val::Float64),
            (Row::Char, Some(Token::Char(raw))) => return self.char(raw),
            (Row::Text, Some(Token::Text(raw))) => return self.text(raw).map(Val::String),
            (Row::Label(labels), Some(Token::Label(label))) => {
                match labels.iter().find(|known| *known == label) {
                    Some(label) => Some(Val::Enum(self.budget.string(label)?)),
                    None => None,
                }
            }
            (Row::Bytes, Some(Token::Mark('['))) => return self.bytes(),
            (Row::Items { item, len }, Some(Token::Mark('['))) => return self.items(shape, item, len),
            (Row::Slots(slots), Some(Token::Mark('('))) => return self.slots(shape, slots),
            (Row::Labels(labels), Some(Token::Mark('{'))) => return self.labels(labels),
            (Row::Members(fields), Some(Token::Mark('{'))) => return self.record(fields),
            (Row::Tagged(cases), Some(Token::Label(label))) => return self.tagged(shape, cases, label),
            (Row::Nullable { inner, .. }, _) => return self.nullable(shape, inner, token),
            (Row::Outcome(sides), _) => return self.outcome(shape, sides, token),
            (Row::Entries(_) | Row::Pairs(..), _) => return Err(ArgError::bad(NO_FORM, shape)),
            _ => None,
        };
        match plain {
            Some(val) => {
                self.reader.pass();
                Ok(val)
            }
            None => Err(self.reader.found_instead(Expected(shape))),
        }
    }

    fn char(&mut self, raw: &str) -> Decoded<Val> {
        // Judged by the crate: what is in a char literal is exactly one.
        self.reader.literal(raw, |text| Ok(Val::Char(text.chars().next().unwrap_or_default())))
    }

    fn text(&mut self, raw: &str) -> Decoded<String> {
        // The content is never longer than the literal.
        self.budget.bytes(raw.len())?;
        self.reader.literal(raw, |text| Ok(text.into_owned()))
    }

    /// Passes the items of a sequence whose opening mark was peeked; errors of `item` get its index
    /// in their pointer.
    fn sequence(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self, usize) -> Decoded<()>,
    ) -> Decoded<()> {
        self.reader.pass();
        let mut first = true;
        let mut index = 0;
        while self.reader.next(&mut first, close)? {
            item(self, index).map_err(|error| error.at(index))?;
            index += 1;
        }
        Ok(())
    }

    fn bytes(&mut self) -> Decoded<Val> {
        let mut vals = Vec::new();
        self.sequence(']', |walk, index| {
            if index >= BYTE_LIST_BYTES_MAX {
                walk.budget.byte_list(index + 1)?;
            }
            vals.push(walk.value(&Shape::U8)?);
            Ok(())
        })?;
        Ok(Val::List(vals))
    }

    fn items(&mut self, shape: &Shape, item: &Shape, len: Option<u32>) -> Decoded<Val> {
        let count = len.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let mut vals = Vec::new();
        self.sequence(']', |walk, index| {
            if count.is_some_and(|count| index >= count) {
                return Err(walk.reader.found_instead(Count(count.unwrap_or_default(), shape)));
            }
            vals.push(walk.value(item)?);
            Ok(())
        })?;
        match count {
            None => Ok(Val::List(vals)),
            Some(count) if vals.len() == count => Ok(Val::FixedLengthList(vals)),
            Some(count) => Err(ArgError::bad(Count(count, shape), vals.len())),
        }
    }

    fn slots(&mut self, shape: &Shape, slots: &[Shape]) -> Decoded<Val> {
        let count = slots.len();
        let mut vals = Vec::with_capacity(count);
        self.sequence(')', |walk, index| {
            let slot = slots.get(index).ok_or_else(|| walk.reader.found_instead(Count(count, shape)))?;
            vals.push(walk.value(slot)?);
            Ok(())
        })?;
        if vals.len() != count {
            return Err(ArgError::bad(Count(count, shape), vals.len()));
        }
        Ok(Val::Tuple(vals))
    }

    fn labels(&mut self, labels: &[String]) -> Decoded<Val> {
        let mut set = Vec::new();
        self.sequence('}', |walk, _| {
            let label = walk.reader.name()?;
            add_label(labels, label, &mut set, walk.budget)
        })?;
        Ok(Val::Flags(set))
    }

    /// The members of a record by name, in the order of `fields`; none where one was left out.
    fn members(&mut self, fields: &[Param], slots: &mut [Option<Val>]) -> Decoded<()> {
        self.reader.pass();
        // `{:}` is how a record without a field is told from flags.
        if self.reader.passes(':')? {
            return self.reader.mark('}');
        }
        let mut expected = 0;
        let mut first = true;
        while self.reader.next(&mut first, '}')? {
            let name = self.reader.name()?;
            // Most documents follow the order of the fields.
            let index = match fields.get(expected) {
                Some(field) if field.name == name => Some(expected),
                _ => fields.iter().position(|field| field.name == name),
            };
            let Some((index, field)) = index.and_then(|index| Some((index, fields.get(index)?))) else {
                let known = fields.iter().map(|field| field.name.as_str());
                return Err(ArgError::unknown_name(name, known).at(name));
            };
            let Some(slot) = slots.get_mut(index) else { continue };
            expected = index + 1;
            self.once(slot)
                .and_then(|()| self.reader.mark(':'))
                .and_then(|()| {
                    *slot = Some(self.value(&field.shape)?);
                    Ok(())
                })
                .map_err(|error| error.at(name))?;
        }
        Ok(())
    }

    fn once<T>(&self, earlier: &Option<T>) -> Decoded<()> {
        if earlier.is_some() { Err(ArgError::bad("each name once", "a second value")) } else { Ok(()) }
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

    fn tagged(&mut self, shape: &Shape, cases: &[Case], label: &str) -> Decoded<Val> {
        let Some(case) = cases.iter().find(|case| case.name == label) else {
            return Err(self.reader.found_instead(Expected(shape)));
        };
        self.reader.pass();
        let payload = match &case.shape {
            Some(shape) => Some(Box::new(self.payload(shape).map_err(|error| error.at(label))?)),
            None => None,
        };
        Ok(Val::Variant(self.budget.string(&case.name)?, payload))
    }

    fn payload(&mut self, shape: &Shape) -> Decoded<Val> {
        self.reader.peek()?;
        self.reader.mark('(')?;
        let val = self.value(shape)?;
        self.reader.mark(')')?;
        Ok(val)
    }

    fn nullable(&mut self, shape: &Shape, inner: &Shape, token: Option<Token<'_>>) -> Decoded<Val> {
        match token {
            Some(Token::Keyword(Keyword::None)) => {
                self.reader.pass();
                Ok(absent())
            }
            Some(Token::Keyword(Keyword::Some)) => {
                self.reader.pass();
                Ok(Val::Option(Some(Box::new(self.payload(inner)?))))
            }
            _ if may_be_bare(inner) => Ok(Val::Option(Some(Box::new(self.value(inner)?)))),
            _ => Err(self.reader.found_instead(format_args!("some(…) or none for {shape}"))),
        }
    }

    fn outcome(&mut self, shape: &Shape, sides: &Sides, token: Option<Token<'_>>) -> Decoded<Val> {
        let (side, ok) = match (token, &sides.ok) {
            (Some(Token::Keyword(Keyword::Ok)), side) => (side, true),
            (Some(Token::Keyword(Keyword::Err)), _) => (&sides.err, false),
            (_, Some(inner)) if may_be_bare(inner) => {
                return Ok(Val::Result(Ok(Some(Box::new(self.value(inner)?)))));
            }
            _ => return Err(self.reader.found_instead(format_args!("ok(…) or err(…) for {shape}"))),
        };
        self.reader.pass();
        let val = match side {
            Some(shape) => Some(Box::new(self.payload(shape)?)),
            None => None,
        };
        Ok(Val::Result(if ok { Ok(val) } else { Err(val) }))
    }
}

/// Whether a value of this shape may stand for an option or a result of it.
fn may_be_bare(shape: &Shape) -> bool {
    !matches!(shape, Shape::Option(_) | Shape::Result(_))
}

/// A float; one so large that it would become infinite is refused, as in JSON.
fn float<F: std::ops::Neg<Output = F>>(
    token: Token<'_>,
    finite: fn(&str) -> Option<F>,
    infinity: F,
    nan: F,
) -> Option<F> {
    match token {
        Token::Number("-inf") => Some(-infinity),
        Token::Number(number) => finite(number),
        Token::Keyword(Keyword::Inf) => Some(infinity),
        Token::Keyword(Keyword::Nan) => Some(nan),
        _ => None,
    }
}

/// Prints a type as an error's expectation; where labels are meant, a keyword among them is shown
/// as it has to be written.
struct Expected<'s>(&'s Shape);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |label: &str| match Keyword::decode(label) {
            Some(_) => format!("%{label}"),
            None => label.to_owned(),
        };
        let labels: Vec<String> = match Row::of(self.0) {
            Row::Label(labels) => labels.iter().map(|label| written(label)).collect(),
            Row::Tagged(cases) => {
                let payload = |case: &Case| if case.shape.is_some() { "(…)" } else { "" };
                cases.iter().map(|case| format!("{}{}", written(&case.name), payload(case))).collect()
            }
            _ => return write!(f, "{}", self.0),
        };
        write!(f, "{}", one_of(labels.iter().map(String::as_str)))
    }
}

/// Prints how many items a type takes.
struct Count<'s>(usize, &'s Shape);

impl fmt::Display for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items for {}", self.0, self.1)
    }
}
