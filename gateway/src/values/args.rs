//! The parameters of one call, gathered from a JSON body, a query and form fields.
//!
//! Owns "by name or by position", which texts stand for which values, and the rule that a parameter
//! is given once. It must not know where names and texts come from (URL, form, command line).

use super::budget::{Budget, Limits};
use super::decode::{Walk, present, whole};
use super::error::{ArgError, Decoded, quoted};
use super::json::{Reader, Token, number_len};
use super::rows::{Row, absent, may_be_absent, spells};
use super::scalars::{add_label, finite32, finite64, int, of_text, text_expected};
use super::shape::{Param, Shape};
use super::wave::read_args;
use std::fmt;
use wasmtime::component::Val;

/// Decodes a JSON body: an object by name or an array by position; an empty body is `{}`.
///
/// Names may be spelled with `_` for `-`; options may be left out, in an array only at its end. A
/// lone value is refused, also for functions of one parameter.
///
/// # Errors
/// [`ArgError`]: not JSON, not these parameters, or larger than `limits`.
pub fn decode_args(params: &[Param], json: &[u8], limits: &Limits) -> Result<Vec<Val>, ArgError> {
    let mut args = Args::new(params, limits);
    args.json(json)?;
    args.finish()
}

/// Decodes parameters from decoded query pairs: see [`Args::query`].
///
/// # Errors
/// [`ArgError`], its pointer naming the parameter.
pub fn decode_query(
    params: &[Param],
    pairs: &[(String, String)],
    limits: &Limits,
) -> Result<Vec<Val>, ArgError> {
    let mut args = Args::new(params, limits);
    args.query(pairs)?;
    args.finish()
}

/// Decodes one named text as a value of `shape`, by the rules of [`Args::query`].
///
/// # Errors
/// [`ArgError`], its pointer relative to the value.
pub fn decode_text_field(shape: &Shape, text: &str, limits: &Limits) -> Result<Val, ArgError> {
    texts(shape, &[text], &mut Budget::new(limits)).map_err(|error| *error)
}

/// Decodes one form field as a value of `shape`, by the rules of [`Args::form`].
///
/// # Errors
/// [`ArgError`], its pointer relative to the value.
pub fn decode_byte_field(shape: &Shape, bytes: &[u8], limits: &Limits) -> Result<Val, ArgError> {
    parts(shape, &[bytes], &mut Budget::new(limits)).map_err(|error| *error)
}

/// The arguments of one call while they come together; every parameter may be given once.
pub struct Args<'p> {
    params: &'p [Param],
    vals: Vec<Option<Val>>,
    budget: Budget,
}

impl<'p> Args<'p> {
    /// No argument yet.
    #[must_use]
    pub fn new(params: &'p [Param], limits: &Limits) -> Self {
        let mut vals = Vec::new();
        vals.resize_with(params.len(), || None);
        Self { params, vals, budget: Budget::new(limits) }
    }

    /// Takes the parameters of a JSON body: an object by name, or an array by position.
    ///
    /// # Errors
    /// See [`decode_args`]. After an error the arguments are incomplete and must not be used.
    pub fn json(&mut self, json: &[u8]) -> Result<(), ArgError> {
        self.read_json(json).map_err(|error| *error)
    }

    fn read_json(&mut self, json: &[u8]) -> Decoded<()> {
        if json.is_empty() {
            return Ok(());
        }
        let reader = Reader::new(json, self.budget.depth_max())?;
        let params = self.params;
        let mut walk = Walk { reader, budget: &mut self.budget };
        match walk.reader.peek()? {
            Token::Object => walk.members(params, &mut self.vals)?,
            Token::Array if self.vals.iter().any(Option::is_some) => {
                // Positions would be counted over what the path or the query named already.
                return Err(ArgError::bad(
                    "an object: other parameters came by name, in the path or the query",
                    "an array",
                ));
            }
            Token::Array => {
                let mut slots = params.iter().zip(&mut self.vals);
                walk.array(|walk, _| {
                    let Some((param, slot)) = slots.next() else {
                        return Err(ArgError::bad(Accepted(params), "one value more"));
                    };
                    if slot.is_some() {
                        return Err(twice());
                    }
                    *slot = Some(walk.value(&param.shape)?);
                    Ok(())
                })?;
            }
            _ => return Err(ArgError::bad(Accepted(params), walk.reader.found()?)),
        }
        walk.reader.end()
    }

    /// Takes the parameters of a WAVE body: a record by name, or a tuple by position.
    ///
    /// # Errors
    /// See [`decode_wave`](super::decode_wave). After an error the arguments are incomplete and must
    /// not be used.
    pub fn wave(&mut self, wave: &[u8]) -> Result<(), ArgError> {
        read_args(self.params, &mut self.vals, wave, &mut self.budget).map_err(|error| *error)
    }

    /// Takes parameters by name as text, as a query or a path brings them.
    ///
    /// Strings, chars and enum labels are taken as they are, numbers and `true`/`false` as JSON
    /// writes them, `list<u8>` as base64. A repeated name makes a list of such; flags are repeated
    /// or separated by commas. An option that is left out is none, and so is an option of anything
    /// but a string or char whose text is empty or `null`. Any other type is parsed as JSON, and
    /// so is a list of numbers or bools whose only text starts with `[`.
    ///
    /// # Errors
    /// [`ArgError`], its pointer naming the parameter.
    pub fn query<N: AsRef<str>, T: AsRef<str>>(&mut self, pairs: &[(N, T)]) -> Result<(), ArgError> {
        self.by_name(
            pairs,
            |pair| pair.0.as_ref(),
            |shape, pairs, budget| {
                let given: Vec<&str> = pairs.iter().map(|pair| pair.1.as_ref()).collect();
                texts(shape, &given, budget)
            },
        )
    }

    /// Takes parameters by name as bytes, as the fields of a form bring them.
    ///
    /// A `list<u8>` takes the bytes as they are, a list of these one per field of that name;
    /// anything else must be UTF-8 and follows [`Args::query`].
    ///
    /// # Errors
    /// [`ArgError`], its pointer naming the parameter.
    pub fn form<N: AsRef<str>, B: AsRef<[u8]>>(&mut self, fields: &[(N, B)]) -> Result<(), ArgError> {
        self.by_name(
            fields,
            |field| field.0.as_ref(),
            |shape, fields, budget| {
                let given: Vec<&[u8]> = fields.iter().map(|field| field.1.as_ref()).collect();
                parts(shape, &given, budget)
            },
        )
    }

    /// Gives the parameter at `index` a value that was made elsewhere.
    ///
    /// # Errors
    /// [`ArgError`] if it has one already, or there is no such parameter.
    pub fn set(&mut self, index: usize, val: Val) -> Result<(), ArgError> {
        match self.vals.get_mut(index) {
            Some(slot @ None) => {
                *slot = Some(val);
                Ok(())
            }
            Some(Some(_)) => {
                let name = self.params.get(index).map_or("", |param| param.name.as_str());
                Err(*twice().at(name))
            }
            None => Err(*ArgError::bad(Accepted(self.params), format_args!("parameter number {index}"))),
        }
    }

    /// The values in the order of the parameters; options that were not given are none.
    ///
    /// # Errors
    /// [`ArgError`] that names the first parameter without a value.
    pub fn finish(self) -> Result<Vec<Val>, ArgError> {
        // The values come first, so that they are collected in the memory they are in.
        let vals = self.vals.into_iter().zip(self.params);
        vals.map(|(val, param)| present(param, val).map_err(|error| *error)).collect()
    }

    fn by_name<T>(
        &mut self,
        given: &[T],
        name: impl Fn(&T) -> &str,
        decode: impl Fn(&Shape, &[&T], &mut Budget) -> Decoded<Val>,
    ) -> Result<(), ArgError> {
        let known = |given: &&T| !self.params.iter().any(|param| spells(name(given), &param.name));
        if let Some(unknown) = given.iter().find(known) {
            let names = self.params.iter().map(|param| param.name.as_str());
            return Err(*ArgError::unknown_name(name(unknown), names).at(name(unknown)));
        }
        for (param, slot) in self.params.iter().zip(&mut self.vals) {
            let given: Vec<&T> = given.iter().filter(|given| spells(name(given), &param.name)).collect();
            if given.is_empty() {
                continue;
            }
            let val =
                if slot.is_some() { Err(twice()) } else { decode(&param.shape, &given, &mut self.budget) };
            *slot = Some(val.map_err(|error| *error.at(&param.name))?);
        }
        Ok(())
    }
}

fn twice() -> Box<ArgError> {
    ArgError::bad("each parameter once", "a second value")
}

/// Prints what a body may be: `{"width": u32} or [u32]`.
struct Accepted<'p>(&'p [Param]);

impl fmt::Display for Accepted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {")?;
        for (n, param) in self.0.iter().enumerate() {
            let (comma, mark) =
                (if n > 0 { ", " } else { "" }, if may_be_absent(&param.shape) { "?" } else { "" });
            write!(f, "{comma}{:?}{mark}: {}", param.name, param.shape)?;
        }
        f.write_str("} or an array in that order")
    }
}

/// A value from the texts given under one name.
fn texts(shape: &Shape, given: &[&str], budget: &mut Budget) -> Decoded<Val> {
    budget.elements(1)?;
    if let Row::Labels(labels) = Row::of(shape) {
        let mut set = Vec::new();
        for label in given.iter().flat_map(|text| text.split(',')).filter(|label| !label.is_empty()) {
            add_label(labels, label, &mut set, budget)?;
        }
        return Ok(Val::Flags(set));
    }
    match (Row::of(shape), given) {
        (Row::Nullable { inner, wrapped: false }, _) if is_plain(inner) => {
            let blank = matches!(given, [""] | ["null"]) && !is_literal(inner);
            Ok(if blank { absent() } else { Val::Option(Some(Box::new(texts(inner, given, budget)?))) })
        }
        (Row::Items { item, len: None }, [text]) if !is_literal(item) && text.starts_with('[') => {
            document(shape, text, budget)
        }
        (Row::Items { item, len: None }, _) if is_word(item) => {
            let items = given.iter().enumerate();
            let vals = items.map(|(n, text)| texts(item, &[text], budget).map_err(|error| error.at(n)));
            vals.collect::<Decoded<Vec<Val>>>().map(Val::List)
        }
        (_, [text]) if is_word(shape) => word(shape, text, budget),
        (_, [text]) => document(shape, text, budget),
        _ => Err(ArgError::bad(format_args!("one value for {shape}"), given.len())),
    }
}

/// A value from the form fields given under one name.
fn parts(shape: &Shape, given: &[&[u8]], budget: &mut Budget) -> Decoded<Val> {
    match (Row::of(shape), given) {
        (Row::Bytes, [bytes]) => {
            budget.elements(1)?;
            budget.byte_list(bytes.len())?;
            Ok(bytes_to_val(bytes))
        }
        (Row::Nullable { inner, wrapped: false }, _) if matches!(Row::of(inner), Row::Bytes) => {
            budget.elements(1)?;
            Ok(Val::Option(Some(Box::new(parts(inner, given, budget)?))))
        }
        (Row::Items { item, len: None }, _) if matches!(Row::of(item), Row::Bytes) => {
            budget.elements(1)?;
            let items = given.iter().enumerate();
            let vals = items.map(|(n, bytes)| parts(item, &[bytes], budget).map_err(|error| error.at(n)));
            vals.collect::<Decoded<Vec<Val>>>().map(Val::List)
        }
        _ => {
            let text = |bytes: &&'_ [u8]| std::str::from_utf8(bytes).is_ok();
            if !given.iter().all(text) {
                return Err(ArgError::bad(format_args!("UTF-8 text for {shape}"), "other bytes"));
            }
            let given: Vec<&str> =
                given.iter().map(|bytes| std::str::from_utf8(bytes).unwrap_or_default()).collect();
            texts(shape, &given, budget)
        }
    }
}

/// Whether one text without quotes can stand for a value.
pub(super) fn is_word(shape: &Shape) -> bool {
    matches!(
        Row::of(shape),
        Row::Bool
            | Row::Int(_)
            | Row::Float32
            | Row::Float64
            | Row::Char
            | Row::Text
            | Row::Label(_)
            | Row::Bytes
    )
}

/// Whether texts are taken by [`texts`] in another way than as a JSON document.
pub(super) fn is_plain(shape: &Shape) -> bool {
    match Row::of(shape) {
        Row::Labels(_) => true,
        Row::Items { item, len: None } => is_word(item),
        _ => is_word(shape),
    }
}

/// Whether any text is itself the value, so that none has another meaning.
pub(super) fn is_literal(shape: &Shape) -> bool {
    matches!(Row::of(shape), Row::Char | Row::Text | Row::Label(_) | Row::Bytes)
}

fn word(shape: &Shape, text: &str, budget: &mut Budget) -> Decoded<Val> {
    let number = number_len(text) == Some(text.len());
    let val = match (Row::of(shape), text) {
        (Row::Bool, "true") => Some(Val::Bool(true)),
        (Row::Bool, "false") => Some(Val::Bool(false)),
        (Row::Int(row), _) if number => int(row, text),
        (Row::Float32, _) if number => finite32(text).map(Val::Float32),
        (Row::Float64, _) if number => finite64(text).map(Val::Float64),
        _ => of_text(shape, text, budget)?,
    };
    val.ok_or_else(|| ArgError::bad(text_expected(shape), quoted(text)))
}

/// A text that is a JSON document. A mistake in it is one of the parameter, not of the request.
fn document(shape: &Shape, text: &str, budget: &mut Budget) -> Decoded<Val> {
    whole(shape, text.as_bytes(), budget).map_err(|error| match error.kind {
        super::ArgErrorKind::BadJson => ArgError::bad(format_args!("JSON of type {shape}"), quoted(text)),
        _ => error,
    })
}

/// The value of a `list<u8>`.
fn bytes_to_val(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().copied().map(Val::U8).collect())
}
