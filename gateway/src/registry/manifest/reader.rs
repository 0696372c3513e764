//! Walking a manifest's text: values with their lines, and the mistakes found on the way.
//!
//! Every part of a manifest is read with this, so that all mistakes look alike: line, key, what was
//! found, what was expected, the nearest key. It knows TOML and no keys.

use crate::error::nearest;
use std::fmt::Display;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Characters of a wrong value that are shown.
const VALUE_CHARS_MAX: usize = 60;

/// The walk through the parsed text; mistakes are collected on the way.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub(super) mistakes: Vec<(usize, String)>,
}

/// A value with its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, mistakes: Vec::new() }
    }

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
    }

    pub(super) fn wrong(&mut self, span: Range<usize>, key: &str, what: impl Display) {
        let line = self.line(&span);
        let colon = if key.is_empty() { "" } else { ": " };
        self.mistakes.push((line, format!("line {line}: {key}{colon}{what}")));
    }

    pub(super) fn expected(&mut self, value: &Value<'t>, key: &str, expected: &str) {
        let found = show(value.get_ref());
        self.wrong(value.span(), key, format!("found {found}, expected {expected}"));
    }

    /// Reports the keys of `table` that are not among `known`.
    pub(super) fn unknown(&mut self, table: &DeTable<'t>, prefix: &str, known: &[&str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let near = match nearest(name, known.iter().copied()).first() {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            let place = if prefix.is_empty() { "at the top level" } else { "here" };
            self.wrong(
                key.span(),
                &path(prefix, name),
                format!("unknown key{near} ({place} there may be {})", known.join(", ")),
            );
        }
    }

    pub(super) fn table<'v>(
        &mut self,
        value: &'v Value<'t>,
        key: &str,
        expected: &str,
    ) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.expected(value, key, expected);
        }
        table
    }

    pub(super) fn string(&mut self, value: &Value<'t>, key: &str, expected: &str) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            _ => {
                self.expected(value, key, expected);
                None
            }
        }
    }
}

/// A key below a table.
pub(super) fn path(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// A value as the author wrote it, or its sort if it is large.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > VALUE_CHARS_MAX => {
            format!("\"{}…\"", text.chars().take(VALUE_CHARS_MAX).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().chars().take(VALUE_CHARS_MAX).collect(),
        DeValue::Float(number) => number.as_str().chars().take(VALUE_CHARS_MAX).collect(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(when) => when.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
