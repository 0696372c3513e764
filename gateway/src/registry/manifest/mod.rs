//! The manifest beside a module: its keys, its units, its mistakes.
//!
//! Owns the text form of a task's settings. A manifest is taken whole or not at all, and every
//! mistake of it is told in one go, with its line, its key, what was found, what was expected and
//! the nearest key. It doesn't read files, doesn't know which tasks there are, and doesn't see the
//! module: what depends on the functions is checked in `task.rs`.

mod functions;
mod grants;
mod reader;
#[cfg(test)]
mod tests;

pub use grants::{Asked, check_guest};

use super::routes::{self, Pattern};
use crate::error::LoadError;
use crate::exchange::Printed;
use crate::limits::{WEIGHT_MAX, Wanted, parse_bytes, parse_duration};
use crate::runtime::Notes;
use reader::{Reader, Value, path};
use sha2::{Digest as _, Sha256};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::de::DeTable;

/// Largest manifest, in bytes. The texts of a task with a hundred functions fit in a tenth of it.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 10;

/// Mistakes that are told of one manifest; more would hide the first ones.
const MISTAKES_SHOWN_MAX: usize = 30;

/// Bytes of a digest that are kept: two texts of one task never share them by chance.
const DIGEST_BYTES: usize = 6;

const TOP: &[&str] = &["description", "interface", "content_type", "limits", "grants", "route", "functions"];
const LIMITS: &[&str] =
    &["wall", "cpu", "memory", "input", "output", "stream", "concurrency", "queue", "queue_wait", "weight"];
const ROUTE: &[&str] = &["method", "path", "function"];

/// What a manifest says. An absent one is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Texts and parameter names, which the module is prepared with.
    pub notes: Notes,
    /// The limits it asks for.
    pub limits: Wanted,
    /// What it may use beyond computing, as it stands in the text.
    pub asked: Asked,
    /// The routes of its own.
    pub routes: Vec<Wish>,
    /// What a command's standard output is.
    pub printed: Printed,
    /// The start of its text's SHA-256, in hexadecimal digits.
    pub digest: Option<String>,
}

/// A route as a manifest asks for it, not yet tied to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The HTTP method, upper case.
    pub method: String,
    /// The path.
    pub pattern: Pattern,
    /// The function's name; without one the task must have a single function.
    pub function: Option<String>,
    /// The line it stands on, from 1.
    pub line: usize,
}

impl Manifest {
    /// Whether both are the same text. A task's tag names that, so what says the same in other words is
    /// another version of the task.
    #[must_use]
    pub fn same_settings(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Reads the text of `file` (its name, for the messages).
    ///
    /// # Errors
    /// All mistakes together, in the order of their lines.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, LoadError> {
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let line = text.iter().take(at).filter(|b| **b == b'\n').count() + 1;
                let mistake = format!("line {line}: found bytes that are no UTF-8, expected a TOML text");
                return Err(load_error(file, vec![(line, mistake)]));
            }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(text);
        for error in &errors {
            reader.wrong(error.span().unwrap_or(0..0), "", format!("no TOML: {}", error.message()));
        }
        // A text that is no TOML is not judged further: half a table gives follow-up mistakes.
        let mut manifest = if errors.is_empty() { reader.manifest(table.get_ref()) } else { Self::default() };
        let digest = Sha256::digest(text);
        manifest.digest = Some(digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect());
        if reader.mistakes.is_empty() { Ok(manifest) } else { Err(load_error(file, reader.mistakes)) }
    }
}

fn load_error(file: &str, mut mistakes: Vec<(usize, String)>) -> LoadError {
    mistakes.sort_by_key(|(line, _)| *line);
    let count = mistakes.len();
    let mut reason = match count {
        1 => format!("{file} has a mistake:"),
        _ => format!("{file} has {count} mistakes:"),
    };
    for (_, mistake) in mistakes.iter().take(MISTAKES_SHOWN_MAX) {
        reason.push_str("\n  ");
        reason.push_str(mistake);
    }
    if count > MISTAKES_SHOWN_MAX {
        reason.push_str(&format!("\n  and {} more", count - MISTAKES_SHOWN_MAX));
    }
    LoadError::new(reason, format!("correct {file}; it is read again when it is saved"))
}

impl<'t> Reader<'t> {
    fn manifest(&mut self, top: &DeTable<'t>) -> Manifest {
        self.unknown(top, "", TOP);
        let mut manifest = Manifest::default();
        manifest.notes.description =
            top.get("description").and_then(|v| self.string(v, "description", "a text"));
        manifest.printed = self.printed(top);
        if let Some(limits) = top.get("limits").and_then(|v| self.table(v, "limits", "a table [limits]")) {
            manifest.limits = self.limits(limits);
        }
        if let Some(grants) = top.get("grants").and_then(|v| self.table(v, "grants", "a table [grants]")) {
            manifest.asked = self.grants(grants);
        }
        if let Some(routes) = top.get("route") {
            manifest.routes = self.routes(routes);
        }
        if let Some(functions) =
            top.get("functions").and_then(|v| self.table(v, "functions", "tables [functions.<name>]"))
        {
            manifest.notes.functions = self.functions(functions);
        }
        manifest
    }

    fn printed(&mut self, top: &DeTable<'t>) -> Printed {
        let interface = top.get("interface").map(|value| match value.get_ref().as_str() {
            Some("cgi") => {}
            _ => self.expected(value, "interface", "\"cgi\", or no such key"),
        });
        let Some(value) = top.get("content_type") else {
            return interface.map_or(Printed::Sniffed, |()| Printed::Cgi);
        };
        const EXPECTED: &str = "a media type, such as \"application/json\"";
        if interface.is_some() {
            let what =
                "found beside interface = \"cgi\", whose programs print it themselves; remove one of the two";
            self.wrong(value.span(), "content_type", what);
        }
        match self.string(value, "content_type", EXPECTED) {
            Some(text) if text.parse::<mime::Mime>().is_ok() => Printed::As(text),
            Some(_) => {
                self.expected(value, "content_type", EXPECTED);
                Printed::Sniffed
            }
            None => Printed::Sniffed,
        }
    }

    fn limits(&mut self, table: &DeTable<'t>) -> Wanted {
        self.unknown(table, "limits", LIMITS);
        Wanted {
            wall: self.duration(table, "wall"),
            cpu: self.duration(table, "cpu"),
            memory: self.size(table, "memory", 1),
            // A task that takes no body may say so; one without an answer is a mistake.
            input: self.size(table, "input", 0),
            output: self.size(table, "output", 1),
            stream: self.size(table, "stream", 1),
            concurrency: self.count(table, "concurrency", 1..=usize::MAX),
            // No waiting room at all is a fair wish.
            queue: self.count(table, "queue", 0..=usize::MAX),
            queue_wait: self.duration(table, "queue_wait"),
            weight: self.count(table, "weight", 1..=WEIGHT_MAX),
        }
    }

    fn duration(&mut self, table: &DeTable<'t>, name: &str) -> Option<Duration> {
        const EXPECTED: &str = "a duration with its unit, such as \"30s\", \"500ms\" or \"1h\"";
        let value = table.get(name)?;
        let key = path("limits", name);
        let Some(text) = value.get_ref().as_str() else {
            self.expected(value, &key, EXPECTED);
            return None;
        };
        match parse_duration(text) {
            Ok(duration) if duration.is_zero() => {
                self.wrong(
                    value.span(),
                    &key,
                    format!("found \"{text}\", expected more than zero: no call could run"),
                );
                None
            }
            Ok(duration) => Some(duration),
            Err(message) => {
                self.wrong(value.span(), &key, message);
                None
            }
        }
    }

    fn size(&mut self, table: &DeTable<'t>, name: &str, least: u64) -> Option<u64> {
        const EXPECTED: &str = "a size with its unit, such as \"128MiB\", \"64KiB\" or \"1GiB\"";
        let value = table.get(name)?;
        let key = path("limits", name);
        let Some(text) = value.get_ref().as_str() else {
            self.expected(value, &key, EXPECTED);
            return None;
        };
        match parse_bytes(text) {
            Ok(size) if size < least => {
                self.wrong(
                    value.span(),
                    &key,
                    format!("found \"{text}\", expected more than zero: no call could run"),
                );
                None
            }
            Ok(size) => Some(size),
            Err(message) => {
                self.wrong(value.span(), &key, message);
                None
            }
        }
    }

    fn count(&mut self, table: &DeTable<'t>, name: &str, range: RangeInclusive<usize>) -> Option<usize> {
        let value = table.get(name)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| usize::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            let (least, most) = range.into_inner();
            let expected = match most {
                usize::MAX => format!("a whole number, at least {least}"),
                _ => format!("a whole number from {least} to {most}"),
            };
            self.expected(value, &path("limits", name), &expected);
        }
        number
    }

    fn routes(&mut self, value: &Value<'t>) -> Vec<Wish> {
        let Some(array) = value.get_ref().as_array() else {
            self.expected(value, "route", "tables [[route]], with doubled brackets");
            return Vec::new();
        };
        let mut routes: Vec<Wish> = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let key = format!("route[{index}]");
            let Some(table) = self.table(value, &key, "a table with method and path") else { continue };
            let Some(route) = self.route(table, value.span(), &key) else { continue };
            let twin =
                routes.iter().find(|r| r.method == route.method && r.pattern.same_paths(&route.pattern));
            if let Some(twin) = twin {
                let what = format!(
                    "{} {} is the same route as {} on line {}; remove one",
                    route.method, route.pattern, twin.pattern, twin.line
                );
                self.wrong(value.span(), &key, what);
            } else {
                routes.push(route);
            }
        }
        routes
    }

    fn route(&mut self, table: &DeTable<'t>, span: Range<usize>, key: &str) -> Option<Wish> {
        self.unknown(table, key, ROUTE);
        let mut text = |name: &str, check: &dyn Fn(&str) -> Result<(), String>| {
            let Some(value) = table.get(name) else {
                self.wrong(span.clone(), key, format!("found no {name}, expected method and path"));
                return None;
            };
            let key = path(key, name);
            let text = self.string(value, &key, "a text")?;
            match check(&text) {
                Ok(()) => Some(text),
                Err(message) => {
                    self.wrong(value.span(), &key, message);
                    None
                }
            }
        };
        let method = text("method", &routes::check_method);
        let path_text = text("path", &|path| Pattern::parse(path).map(drop));
        let function = match table.get("function") {
            Some(value) => Some(self.string(value, &path(key, "function"), "a function's name")?),
            None => None,
        };
        let pattern = Pattern::parse(&path_text?).ok()?;
        Some(Wish { method: method?, pattern, function, line: self.line(&span) })
    }
}
