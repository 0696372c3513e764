//! What can go wrong between JSON and WIT, as plain data.
//!
//! Owns the three error types of this layer and the rules for short, safe texts in them: where the
//! bad value is (RFC 6901 pointer), what was expected, what was found. It must not know status
//! codes nor problem documents; the edge makes those from the kinds.

use std::fmt::{self, Write as _};
use wasmtime::component::Val;

/// Longest text of one `expected` or `found`, in characters: an error is read by people.
pub const TEXT_CHARS_MAX: usize = 160;

/// Most names that an `expected` lists; a record may have hundreds of fields.
pub const NAMES_SHOWN_MAX: usize = 12;

/// Longest unknown name that is compared with the allowed ones, in bytes: the comparison is quadratic.
const NEAREST_BYTES_MAX: usize = 64;

/// Smallest similarity (Jaro-Winkler, 0 to 1) that makes an allowed name worth suggesting.
const NEAREST_SIMILARITY_MIN: f64 = 0.75;

/// Who should look at an [`ArgError`], and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgErrorKind {
    /// The text is no JSON document (RFC 8259); `found` tells line and column.
    BadJson,
    /// The document is JSON, but does not fit the parameters' types.
    BadArguments,
    /// A bound was met before the value was built; [`ArgError::limit`] names it.
    TooLarge,
}

/// Arguments that were refused. `Display` gives `/options/width: expected u32, found "wide"`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ArgError {
    /// What sort of mistake it is.
    pub kind: ArgErrorKind,
    /// JSON pointer (RFC 6901) to the bad value; empty for the whole document and for bad JSON.
    pub pointer: String,
    /// The WIT type or the names that would have been accepted, at most [`TEXT_CHARS_MAX`] characters.
    pub expected: String,
    /// A short rendering of what was there, at most [`TEXT_CHARS_MAX`] characters.
    pub found: String,
    /// The bound that was met (`depth_max`, `elements_max`, `bytes_max`, `byte_list_bytes_max`).
    pub limit: Option<&'static str>,
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

/// Boxed, so that the happy path returns small values.
pub(super) type Decoded<T> = Result<T, Box<ArgError>>;

impl ArgError {
    pub(super) fn bad(expected: impl fmt::Display, found: impl fmt::Display) -> Box<Self> {
        Self::new(ArgErrorKind::BadArguments, expected, found)
    }

    pub(super) fn bad_json(expected: impl fmt::Display, found: impl fmt::Display) -> Box<Self> {
        Self::new(ArgErrorKind::BadJson, expected, found)
    }

    pub(super) fn too_large(
        limit: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Box<Self> {
        let mut error = Self::new(ArgErrorKind::TooLarge, expected, found);
        error.limit = Some(limit);
        error
    }

    fn new(kind: ArgErrorKind, expected: impl fmt::Display, found: impl fmt::Display) -> Box<Self> {
        let (expected, found) = (clip(expected, TEXT_CHARS_MAX), clip(found, TEXT_CHARS_MAX));
        Box::new(Self { kind, pointer: String::new(), expected, found, limit: None })
    }

    /// A member name that is not among the allowed ones; the caller adds the name to the pointer.
    pub(super) fn unknown_name<'n>(name: &str, allowed: impl Iterator<Item = &'n str> + Clone) -> Box<Self> {
        let nearest = nearest(name, allowed.clone());
        let found = fmt::from_fn(|f| {
            write!(f, "the unknown name {}", quoted(name))?;
            nearest.map_or(Ok(()), |nearest| write!(f, " (did you mean {}?)", quoted(nearest)))
        });
        Self::bad(one_of(allowed), found)
    }

    /// The same error, seen from one level further out.
    pub(super) fn at(mut self: Box<Self>, segment: impl fmt::Display) -> Box<Self> {
        if self.kind != ArgErrorKind::BadJson {
            let mut pointer = String::from("/");
            let segment = clip(segment, TEXT_CHARS_MAX);
            for c in segment.chars() {
                match c {
                    '~' => pointer.push_str("~0"),
                    '/' => pointer.push_str("~1"),
                    c => pointer.push(c),
                }
            }
            pointer.push_str(&self.pointer);
            self.pointer = pointer;
        }
        self
    }
}

/// The allowed name most like `name`, if one is near enough to be meant.
fn nearest<'n>(name: &str, allowed: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > NEAREST_BYTES_MAX {
        return None;
    }
    allowed
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= NEAREST_SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `one of "a", "b"`, at most [`NAMES_SHOWN_MAX`] of them.
pub(super) fn one_of<'n>(names: impl Iterator<Item = &'n str> + Clone) -> impl fmt::Display {
    let mut text = String::new();
    let total = names.clone().count();
    for (n, name) in names.take(NAMES_SHOWN_MAX).enumerate() {
        text.push_str(if n == 0 { "one of " } else { ", " });
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", quoted(name));
    }
    if total > NAMES_SHOWN_MAX {
        let _ = write!(text, " and {} more", total - NAMES_SHOWN_MAX);
    }
    if total == 0 {
        text.push_str("no names here");
    }
    text
}

/// A text in double quotes, escaped, shortened to what an error can show.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", clip(text, TEXT_CHARS_MAX / 2))
}

/// At most `chars_max` characters of what `value` displays; stops it from rendering more.
pub(super) fn clip(value: impl fmt::Display, chars_max: usize) -> String {
    struct Clip {
        text: String,
        chars_left: usize,
    }
    impl fmt::Write for Clip {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for c in s.chars() {
                if self.chars_left == 0 {
                    self.text.push('…');
                    return Err(fmt::Error);
                }
                self.chars_left -= 1;
                self.text.push(c);
            }
            Ok(())
        }
    }
    let mut clip = Clip { text: String::new(), chars_left: chars_max };
    // The only error is our own "enough".
    let _ = write!(clip, "{value}");
    clip.text
}

/// Why a value could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The text would be longer than the caller allows; what was written so far is cut.
    #[error("the result is larger than {limit_bytes} bytes of text")]
    TooLarge {
        /// The bound, in bytes.
        limit_bytes: usize,
    },
    /// The format cannot express the type.
    #[error("{shape}: {why}")]
    NoForm {
        /// The WIT type.
        shape: String,
        /// What in it has no form, and what would help.
        why: &'static str,
    },
    /// The value is not of the shape it is said to have: a mistake of the gateway, not of a guest.
    #[error("expected a value of type {expected}, found {found}")]
    Mismatch {
        /// The WIT type.
        expected: String,
        /// The sort of value that was there.
        found: &'static str,
    },
}

/// The sort of a value, for [`EncodeError::Mismatch`].
pub(super) fn sort(val: &Val) -> &'static str {
    match val {
        Val::Bool(_) => "a bool",
        Val::S8(_) => "an s8",
        Val::U8(_) => "a u8",
        Val::S16(_) => "an s16",
        Val::U16(_) => "a u16",
        Val::S32(_) => "an s32",
        Val::U32(_) => "a u32",
        Val::S64(_) => "an s64",
        Val::U64(_) => "a u64",
        Val::Float32(_) => "an f32",
        Val::Float64(_) => "an f64",
        Val::Char(_) => "a char",
        Val::String(_) => "a string",
        Val::List(_) => "a list",
        Val::Map(_) => "a map",
        Val::Record(_) => "a record",
        Val::Tuple(_) => "a tuple",
        Val::Variant(..) => "a variant",
        Val::Enum(_) => "an enum",
        Val::Option(_) => "an option",
        Val::Result(_) => "a result",
        Val::Flags(_) => "flags",
        Val::Resource(_) => "a resource",
        Val::Future(_) => "a future",
        Val::Stream(_) => "a stream",
        Val::ErrorContext(_) => "an error-context",
        Val::FixedLengthList(_) => "a fixed-length list",
    }
}

/// Why a type cannot cross to JSON, so that the function that uses it is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotExposed {
    /// What the type is and why it cannot cross, to be shown in the load report.
    pub reason: String,
}

impl NotExposed {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// The same reason, with the place inside the type in front.
    pub(super) fn inside(self, place: impl fmt::Display) -> Self {
        Self { reason: format!("{place}: {}", self.reason) }
    }
}
