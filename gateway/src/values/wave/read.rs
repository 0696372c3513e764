//! A reader that walks a WAVE text, one token at a time.
//!
//! Owns the position of mistakes and the content of literals; the grammar of tokens is the
//! `wasm-wave` crate's. Keywords are told from labels here: `%none` is a label, `none` is not. It
//! must not know shapes nor values.

use super::super::error::{ArgError, Decoded, clip, quoted};
use super::super::json::place;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use wasmtime::component::wasm_wave::lex::{Keyword, Lexer, Token as Lexeme};
use wasmtime::component::wasm_wave::untyped::UntypedValue;

/// Longest part of a token that an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// The next token, and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// One of `{}()[]:,`.
    Mark(char),
    /// A number, or `-inf`.
    Number(&'a str),
    /// A word that means something by itself.
    Keyword(Keyword),
    /// A label, without the `%` in front.
    Label(&'a str),
    /// A char in quotes, as it stands.
    Char(&'a str),
    /// A string in quotes, as it stands; one or several lines.
    Text(&'a str),
}

pub(super) struct Reader<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    ahead: Option<(Option<Token<'a>>, Range<usize>)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Decoded<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, lexer: Lexer::new(text), ahead: None }),
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let place = place(&String::from_utf8_lossy(valid));
                Err(ArgError::bad("WAVE in UTF-8", format_args!("an invalid byte at {place}")))
            }
        }
    }

    /// Looks at the next token; none at the end.
    pub(super) fn peek(&mut self) -> Decoded<Option<Token<'a>>> {
        if let Some((token, _)) = self.ahead {
            return Ok(token);
        }
        let lexeme = self.lexer.next();
        let at = self.lexer.span();
        let token = match lexeme {
            None => None,
            Some(Ok(lexeme)) => Some(token(lexeme, self.lexer.slice())),
            Some(Err(_)) => {
                let found = self.text.get(at.start..).unwrap_or_default();
                let found = clip(found.lines().next().unwrap_or_default(), SHOWN_CHARS_MAX);
                let place = place(self.text.get(..at.start).unwrap_or_default());
                return Err(ArgError::bad(
                    "a WAVE value such as 1, \"text\", 'c', [1, 2], {field: 1} or case(1)",
                    format_args!("{} at {place}", quoted(&found)),
                ));
            }
        };
        self.ahead = Some((token, at));
        Ok(token)
    }

    /// Passes the token that was peeked.
    pub(super) fn pass(&mut self) {
        self.ahead = None;
    }

    /// Passes the mark, if it comes next.
    pub(super) fn passes(&mut self, mark: char) -> Decoded<bool> {
        let comes = self.peek()? == Some(Token::Mark(mark));
        if comes {
            self.pass();
        }
        Ok(comes)
    }

    /// Passes the mark, which must come next.
    pub(super) fn mark(&mut self, mark: char) -> Decoded<()> {
        if self.passes(mark)? { Ok(()) } else { Err(self.found_instead(format_args!("`{mark}`"))) }
    }

    /// Moves to the next item of an open sequence; false when that has closed. A comma may follow
    /// the last item.
    pub(super) fn next(&mut self, first: &mut bool, close: char) -> Decoded<bool> {
        if self.passes(close)? {
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        if !self.passes(',')? {
            return Err(self.found_instead(format_args!("`,` or `{close}`")));
        }
        Ok(!self.passes(close)?)
    }

    /// The name of a field, a flag or a case; in places where nothing else can stand, a keyword is
    /// a name as well.
    pub(super) fn name(&mut self) -> Decoded<&'a str> {
        match self.peek()? {
            Some(Token::Label(label)) => {
                self.pass();
                Ok(label)
            }
            Some(Token::Keyword(_)) => {
                let name = self.slice();
                self.pass();
                Ok(name)
            }
            _ => Err(self.found_instead("a name")),
        }
    }

    /// The end of the document.
    pub(super) fn end(&mut self) -> Decoded<()> {
        if self.peek()?.is_none() { Ok(()) } else { Err(self.found_instead("the end of the document")) }
    }

    /// The content of a char or string literal that was peeked, and passes it.
    pub(super) fn literal<T>(
        &mut self,
        raw: &str,
        content: impl FnOnce(Cow<'_, str>) -> Decoded<T>,
    ) -> Decoded<T> {
        let value = UntypedValue::parse(raw);
        let text = value.as_ref().map_err(ToString::to_string).and_then(|value| {
            let node = value.node();
            let char = || node.as_char(raw).map(|char| Cow::Owned(char.to_string()));
            let text = if raw.starts_with('\'') { char() } else { node.as_str(raw) };
            text.map_err(|error| error.to_string())
        });
        let text = text.map_err(|error| {
            ArgError::bad("a literal with valid escapes", format_args!("{error} at {}", self.place()))
        })?;
        let done = content(text)?;
        self.pass();
        Ok(done)
    }

    /// An error about the token that was peeked.
    pub(super) fn found_instead(&self, expected: impl fmt::Display) -> Box<ArgError> {
        let place = self.place();
        match &self.ahead {
            Some((Some(Token::Text(raw) | Token::Char(raw)), _)) => {
                ArgError::bad(expected, format_args!("{} at {place}", clip(raw, SHOWN_CHARS_MAX)))
            }
            Some((Some(_), _)) => {
                ArgError::bad(expected, format_args!("`{}` at {place}", clip(self.slice(), SHOWN_CHARS_MAX)))
            }
            _ => ArgError::bad(expected, format_args!("the end of the document at {place}")),
        }
    }

    /// The text of the token that was peeked.
    fn slice(&self) -> &'a str {
        self.ahead.as_ref().and_then(|(_, at)| self.text.get(at.clone())).unwrap_or_default()
    }

    fn place(&self) -> String {
        let start = self.ahead.as_ref().map_or(self.text.len(), |(_, at)| at.start);
        place(self.text.get(..start).unwrap_or_default())
    }
}

fn token(lexeme: Lexeme, slice: &str) -> Token<'_> {
    match lexeme {
        Lexeme::BraceOpen => Token::Mark('{'),
        Lexeme::BraceClose => Token::Mark('}'),
        Lexeme::ParenOpen => Token::Mark('('),
        Lexeme::ParenClose => Token::Mark(')'),
        Lexeme::BracketOpen => Token::Mark('['),
        Lexeme::BracketClose => Token::Mark(']'),
        Lexeme::Colon => Token::Mark(':'),
        Lexeme::Comma => Token::Mark(','),
        Lexeme::Number => Token::Number(slice),
        Lexeme::LabelOrKeyword => match Keyword::decode(slice) {
            Some(keyword) => Token::Keyword(keyword),
            None => Token::Label(slice.strip_prefix('%').unwrap_or(slice)),
        },
        Lexeme::Char => Token::Char(slice),
        Lexeme::String | Lexeme::MultilineString => Token::Text(slice),
    }
}
