//! A reader that walks a JSON text in place (RFC 8259), one token at a time.
//!
//! Owns the grammar, the nesting bound and the position of mistakes. It hands out the *text* of
//! numbers, so that every type parses its own digits exactly, and it can go back to a value it
//! passed, which `{"val": …, "tag": …}` needs. It must not know shapes, names nor values.

use super::error::{ArgError, Decoded, clip, quoted};
use std::borrow::Cow;

/// What the next value is, judged by its first characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Null,
    True,
    False,
    Number,
    Text,
    Array,
    Object,
}

/// Longest part of a number that an error shows, in characters.
const NUMBER_SHOWN_CHARS_MAX: usize = 40;

/// A place in the text, to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: usize,
}

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], depth_max: usize) -> Decoded<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0, depth: 0, depth_max }),
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let place = place(&String::from_utf8_lossy(valid));
                Err(ArgError::bad_json("JSON in UTF-8", format_args!("an invalid byte at {place}")))
            }
        }
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_empty(&mut self) -> bool {
        self.space();
        self.byte().is_none()
    }

    /// The end of the document.
    pub(super) fn end(&mut self) -> Decoded<()> {
        if self.is_empty() { Ok(()) } else { Err(self.bad("the end of the document")) }
    }

    /// Looks at the next value.
    pub(super) fn peek(&mut self) -> Decoded<Token> {
        self.space();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        match rest.first() {
            Some(b'"') => Ok(Token::Text),
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b'n') if rest.starts_with(b"null") => Ok(Token::Null),
            Some(b't') if rest.starts_with(b"true") => Ok(Token::True),
            Some(b'f') if rest.starts_with(b"false") => Ok(Token::False),
            _ => Err(self.bad("a JSON value")),
        }
    }

    /// Passes a `null`, `true` or `false` that was peeked.
    pub(super) fn word(&mut self, token: Token) {
        self.at += if token == Token::False { 5 } else { 4 };
    }

    /// The text of a number.
    pub(super) fn number(&mut self) -> Decoded<&'a str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = number_len(rest).ok_or_else(|| self.bad("a JSON number"))?;
        self.at += len;
        Ok(rest.get(..len).unwrap_or_default())
    }

    /// A string with its quotes as it stands, and whether it has escapes.
    pub(super) fn raw_string(&mut self) -> Decoded<(&'a str, bool)> {
        let start = self.at;
        let mut escaped = false;
        let mut at = start + 1;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0x20..) => at += 1,
                control_or_end => {
                    self.at = at.min(bytes.len());
                    let what = if control_or_end.is_some() {
                        "an escape such as \\n in place of a control character"
                    } else {
                        "the closing quote of a string"
                    };
                    return Err(self.bad(what));
                }
            }
        }
        self.at = at + 1;
        Ok((self.text.get(start..self.at).unwrap_or_default(), escaped))
    }

    /// The content of a raw string.
    pub(super) fn unescape(&self, raw: &'a str, escaped: bool) -> Decoded<Cow<'a, str>> {
        if escaped {
            let error = |_| {
                let place = place(self.text.get(..self.at).unwrap_or_default());
                ArgError::bad_json("valid string escapes", format_args!("{} before {place}", quoted(raw)))
            };
            return serde_json::from_str::<String>(raw).map(Cow::Owned).map_err(error);
        }
        Ok(Cow::Borrowed(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()))
    }

    /// Enters the array or object that was peeked.
    pub(super) fn open(&mut self) -> Decoded<()> {
        if self.depth >= self.depth_max {
            let depth_max = self.depth_max;
            let expected = format_args!("JSON nested at most {depth_max} deep (limit depth_max)");
            return Err(ArgError::too_large("depth_max", expected, "one level more"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Moves to the next item of an open array (`]`) or object (`}`); false when that has closed.
    pub(super) fn next(&mut self, first: &mut bool, close: u8) -> Decoded<bool> {
        self.space();
        let byte = self.byte();
        if byte == Some(close) {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        if byte != Some(b',') {
            return Err(self.bad(if close == b']' { "`,` or `]`" } else { "`,` or `}`" }));
        }
        self.at += 1;
        Ok(true)
    }

    /// A member's name, up to and with the colon.
    pub(super) fn key(&mut self) -> Decoded<Cow<'a, str>> {
        self.space();
        if self.byte() != Some(b'"') {
            return Err(self.bad("a name in double quotes"));
        }
        let (raw, escaped) = self.raw_string()?;
        let key = self.unescape(raw, escaped)?;
        self.space();
        if self.byte() != Some(b':') {
            return Err(self.bad("`:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Passes one value, whatever it is. Escapes in its strings are not checked.
    pub(super) fn skip(&mut self) -> Decoded<()> {
        match self.peek()? {
            token @ (Token::Null | Token::True | Token::False) => self.word(token),
            Token::Number => drop(self.number()?),
            Token::Text => drop(self.raw_string()?),
            Token::Array => {
                self.open()?;
                let mut first = true;
                while self.next(&mut first, b']')? {
                    self.skip()?;
                }
            }
            Token::Object => {
                self.open()?;
                let mut first = true;
                while self.next(&mut first, b'}')? {
                    self.key()?;
                    self.skip()?;
                }
            }
        }
        Ok(())
    }

    /// The current place.
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at }
    }

    /// Goes to a marked place that is as deep as the current one.
    pub(super) fn go(&mut self, mark: Mark) {
        self.at = mark.at;
    }

    /// A short rendering of the next value, for an error.
    pub(super) fn found(&mut self) -> Decoded<String> {
        Ok(match self.peek()? {
            Token::Null => "null".to_owned(),
            Token::True => "true".to_owned(),
            Token::False => "false".to_owned(),
            Token::Number => clip(self.number()?, NUMBER_SHOWN_CHARS_MAX),
            Token::Text => {
                let (raw, escaped) = self.raw_string()?;
                if escaped { clip(raw, NUMBER_SHOWN_CHARS_MAX) } else { quoted(&self.unescape(raw, false)?) }
            }
            Token::Array => "an array".to_owned(),
            Token::Object => "an object".to_owned(),
        })
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn bad(&self, expected: &str) -> Box<ArgError> {
        let before = self.text.get(..self.at).unwrap_or_default();
        let place = place(before);
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => ArgError::bad_json(
                expected,
                format_args!("{} at {place}", quoted(c.encode_utf8(&mut [0; 4]))),
            ),
            None => ArgError::bad_json(expected, format_args!("the end of the document at {place}")),
        }
    }
}

/// `line 3, column 7`: both count from one, columns in characters.
pub(super) fn place(before: &str) -> String {
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// Length in bytes of the JSON number that `text` starts with.
pub(super) fn number_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut at = digits(start);
    if at == start || (at > start + 1 && bytes.get(start) == Some(&b'0')) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        let end = digits(at + 1);
        if end == at + 1 {
            return None;
        }
        at = end;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let start = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(start);
        if at == start {
            return None;
        }
    }
    Some(at)
}

/// The exact value of a JSON number, if it is integral and at most as large as a `u64` holds.
///
/// `1.0` and `1e3` are integral, however they are spelled (JSON Schema 2020-12, core, section
/// 6.3); no floating point is involved.
pub(super) fn integer(number: &str) -> Option<i128> {
    let (negative, body) = number.strip_prefix('-').map_or((false, number), |body| (true, body));
    let magnitude =
        if body.bytes().all(|b| b.is_ascii_digit()) { body.parse::<u64>().ok()? } else { scaled(body)? };
    Some(if negative { -i128::from(magnitude) } else { i128::from(magnitude) })
}

/// The value of digits with a fraction or an exponent.
fn scaled(body: &str) -> Option<u64> {
    let (mantissa, exponent) = body.split_once(['e', 'E']).unwrap_or((body, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let kept = significant.trim_end_matches('0');
    // An exponent too long for an i64 moves a non-zero number out of range, or makes it no integer.
    let exponent = exponent.parse::<i64>().ok()?;
    let shift = exponent.checked_sub_unsigned(fraction.len() as u64)?;
    let shift = shift.checked_add_unsigned((significant.len() - kept.len()) as u64)?;
    kept.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(u32::try_from(shift).ok()?)?)
}
