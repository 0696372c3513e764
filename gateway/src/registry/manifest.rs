//! The manifest beside a module: its keys, its units, its mistakes.
//!
//! Owns the text form of a task's settings. A manifest is taken whole or not at all, and every
//! mistake of it is told in one go, with its line, its key, what was found, what was expected and
//! the nearest key. It doesn't read files, doesn't know which tasks there are, and doesn't see the
//! module: what depends on the functions is checked in `task.rs`.

use super::routes::{self, Pattern};
use crate::error::{LoadError, nearest};
use crate::exchange::Printed;
use crate::limits::{Wanted, parse_bytes, parse_duration};
use crate::runtime::{FunctionNotes, Notes};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest manifest, in bytes. The texts of a task with a hundred functions fit in a tenth of it.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 10;

/// Mistakes that are told of one manifest; more would hide the first ones.
const MISTAKES_SHOWN_MAX: usize = 30;

/// Characters of a wrong value that are shown.
const VALUE_CHARS_MAX: usize = 60;

const TOP: &[&str] = &["description", "interface", "content_type", "limits", "grants", "route", "functions"];
const LIMITS: &[&str] =
    &["wall", "cpu", "memory", "input", "output", "stream", "concurrency", "queue", "queue_wait"];
const GRANTS: &[&str] = &["env", "dirs", "http", "sockets"];
const ROUTE: &[&str] = &["method", "path", "function"];
const FUNCTION: &[&str] = &["description", "params"];

/// What a manifest says. An absent one is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Texts and parameter names, which the module is prepared with.
    pub notes: Notes,
    /// The limits it asks for.
    pub limits: Wanted,
    /// The routes of its own.
    pub routes: Vec<Wish>,
    /// What a command's standard output is.
    pub printed: Printed,
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
    /// Whether both say the same, wherever it stands in their texts.
    #[must_use]
    pub fn same_settings(&self, other: &Self) -> bool {
        let routes = |wishes: &[Wish]| -> Vec<Wish> {
            wishes.iter().map(|wish| Wish { line: 0, ..wish.clone() }).collect()
        };
        self.notes == other.notes
            && self.limits == other.limits
            && self.printed == other.printed
            && routes(&self.routes) == routes(&other.routes)
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
        let mut reader = Reader { text, mistakes: Vec::new() };
        for error in &errors {
            reader.wrong(error.span().unwrap_or(0..0), "", format!("no TOML: {}", error.message()));
        }
        // A text that is no TOML is not judged further: half a table gives follow-up mistakes.
        let manifest = if errors.is_empty() { reader.manifest(table.get_ref()) } else { Self::default() };
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

/// The walk through the parsed text; mistakes are collected on the way.
struct Reader<'t> {
    text: &'t str,
    mistakes: Vec<(usize, String)>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl<'t> Reader<'t> {
    fn line(&self, span: &Range<usize>) -> usize {
        self.text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
    }

    fn wrong(&mut self, span: Range<usize>, key: &str, what: impl Display) {
        let line = self.line(&span);
        let colon = if key.is_empty() { "" } else { ": " };
        self.mistakes.push((line, format!("line {line}: {key}{colon}{what}")));
    }

    fn expected(&mut self, value: &Value<'t>, key: &str, expected: &str) {
        let found = show(value.get_ref());
        self.wrong(value.span(), key, format!("found {found}, expected {expected}"));
    }

    /// Reports the keys of `table` that are not among `known`.
    fn unknown(&mut self, table: &DeTable<'t>, prefix: &str, known: &[&str]) {
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

    fn table<'v>(&mut self, value: &'v Value<'t>, key: &str, expected: &str) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.expected(value, key, expected);
        }
        table
    }

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
            self.grants(grants);
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

    fn string(&mut self, value: &Value<'t>, key: &str, expected: &str) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            _ => {
                self.expected(value, key, expected);
                None
            }
        }
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
            concurrency: self.count(table, "concurrency", 1),
            // No waiting room at all is a fair wish.
            queue: self.count(table, "queue", 0),
            queue_wait: self.duration(table, "queue_wait"),
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

    fn count(&mut self, table: &DeTable<'t>, name: &str, least: usize) -> Option<usize> {
        let value = table.get(name)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| usize::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|n| *n >= least);
        if number.is_none() {
            self.expected(value, &path("limits", name), &format!("a whole number, at least {least}"));
        }
        number
    }

    fn grants(&mut self, table: &DeTable<'t>) {
        self.unknown(table, "grants", GRANTS);
        for name in GRANTS {
            if let Some(value) = table.get(*name)
                && !is_nothing(value.get_ref())
            {
                self.wrong(
                    value.span(),
                    &path("grants", name),
                    "cannot be granted in this version of the gateway: every task runs without files, network \
                     and environment; remove the key",
                );
            }
        }
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

    fn functions(&mut self, table: &DeTable<'t>) -> BTreeMap<String, FunctionNotes> {
        let mut functions = BTreeMap::new();
        for (name, value) in table {
            let key = path("functions", name.get_ref());
            let Some(table) = self.table(value, &key, "a table [functions.<name>]") else { continue };
            self.unknown(table, &key, FUNCTION);
            let mut notes = FunctionNotes::default();
            if let Some(value) = table.get("description") {
                notes.description = self.string(value, &path(&key, "description"), "a text");
            }
            if let Some(value) = table.get("params") {
                notes.params = self.params(value, &path(&key, "params"));
            }
            functions.insert(name.get_ref().to_string(), notes);
        }
        functions
    }

    fn params(&mut self, value: &Value<'t>, key: &str) -> Vec<String> {
        let Some(array) = value.get_ref().as_array() else {
            self.expected(value, key, "a list of names, such as [\"n\"]");
            return Vec::new();
        };
        let mut params: Vec<String> = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let Some(name) = self.string(value, &key, "a name") else { continue };
            if !routes::is_param_name(&name) {
                self.expected(value, &key, "a name of letters, digits, '-' and '_'");
            } else if params.contains(&name) {
                self.expected(value, &key, "each name once");
            } else {
                params.push(name);
            }
        }
        params
    }
}

fn path(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Whether a grant's value grants nothing.
fn is_nothing(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Array(items) => items.is_empty(),
        DeValue::Table(table) => table.is_empty(),
        DeValue::Boolean(on) => !on,
        DeValue::String(text) => text.is_empty(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse("demo.toml", text.as_bytes()).map_err(|error| error.reason)
    }

    #[test]
    fn everything_a_manifest_may_say_is_read() {
        let manifest = parse(
            r#"
            description = "Sleeps."
            [limits]
            wall = "1h"
            cpu = "1500ms"
            memory = "16MiB"
            input = "0B"
            output = "1KiB"
            concurrency = 100_000
            queue = 0
            queue_wait = "2s"
            [grants]
            env = []
            [[route]]
            method = "GET"
            path = "/sleep/{seconds}"
            function = "sleep"
            [[route]]
            method = "POST"
            path = "/sleep/{other}"
            [functions.sleep]
            description = "Waits."
            params = ["seconds"]
            "#,
        )
        .unwrap();
        assert_eq!(manifest.limits.wall, Some(Duration::from_secs(3600)));
        assert_eq!(manifest.limits.cpu, Some(Duration::from_millis(1500)));
        assert_eq!(manifest.limits.memory, Some(16 << 20));
        assert_eq!(manifest.limits.input, Some(0));
        assert_eq!(manifest.limits.concurrency, Some(100_000));
        assert_eq!(manifest.limits.queue, Some(0));
        assert_eq!(manifest.routes.len(), 2);
        assert_eq!(manifest.routes[0].pattern.to_string(), "/sleep/{seconds}");
        assert_eq!(manifest.routes[0].function.as_deref(), Some("sleep"));
        assert_eq!(manifest.routes[1].function, None);
        assert_eq!(manifest.notes.description.as_deref(), Some("Sleeps."));
        assert_eq!(manifest.notes.functions["sleep"].params, ["seconds"]);
        assert_eq!(parse("").unwrap(), Manifest::default());
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_line_key_and_remedy() {
        let reason = parse(
            "descripton = \"x\"\n\
             [limits]\n\
             wal = \"1s\"\n\
             cpu = 10\n\
             memory = \"128\"\n\
             wall = \"0s\"\n\
             concurrency = 0\n\
             queue = \"many\"\n\
             [grants]\n\
             env = [\"HOME\"]\n\
             disks = []\n\
             [[route]]\n\
             method = \"get\"\n\
             path = \"sleep\"\n\
             [[route]]\n\
             path = \"/tasks/x\"\n\
             [functions.f]\n\
             params = [\"a b\", \"c\", \"c\"]\n",
        )
        .unwrap_err();
        let lines: Vec<&str> = reason.lines().collect();
        assert_eq!(lines[0], "demo.toml has 15 mistakes:", "{reason}");
        for (start, part) in [
            ("line 1: descripton: unknown key", "did you mean `description`?"),
            ("line 3: limits.wal: unknown key", "did you mean `wall`?"),
            ("line 4: limits.cpu: found 10", "\"30s\""),
            ("line 5: limits.memory: found \"128\"", "\"128MiB\""),
            ("line 6: limits.wall: found \"0s\"", "more than zero"),
            ("line 7: limits.concurrency: found 0", "at least 1"),
            ("line 8: limits.queue: found \"many\"", "a whole number"),
            ("line 10: grants.env:", "cannot be granted in this version"),
            ("line 11: grants.disks: unknown key", "env, dirs, http, sockets"),
            ("line 13: route[0].method: found \"get\"", "GET"),
            ("line 14: route[0].path: found \"sleep\"", "starts with '/'"),
            ("line 15: route[1]: found no method", "method and path"),
            ("line 16: route[1].path: found \"/tasks/x\"", "belongs to the gateway"),
            ("line 18: functions.f.params[0]: found \"a b\"", "letters"),
            ("line 18: functions.f.params[2]: found \"c\"", "once"),
        ] {
            assert!(
                lines.iter().any(|line| line.trim().starts_with(start) && line.contains(part)),
                "{start} … {part} is missing in:\n{reason}"
            );
        }
    }

    #[test]
    fn a_text_that_is_no_toml_names_its_lines() {
        let reason = parse("[limits]\nwall = 1s\n").unwrap_err();
        assert!(reason.contains("line 2: no TOML"), "{reason}");
        let error = Manifest::parse("demo.toml", b"a = 1\n\xff").unwrap_err();
        assert!(error.reason.contains("line 2: found bytes that are no UTF-8"), "{error}");
    }

    #[test]
    fn a_route_stands_once_whatever_its_parameters_are_called() {
        let reason = parse(
            "[[route]]\nmethod = \"GET\"\npath = \"/a/{x}\"\n[[route]]\nmethod = \"GET\"\npath = \"/a/{y}\"\n",
        )
        .unwrap_err();
        assert!(reason.contains("GET /a/{y} is the same route as /a/{x} on line 1"), "{reason}");
    }

    #[test]
    fn wrong_sorts_are_mistakes_and_never_ignored() {
        for (text, part) in [
            ("limits = 3", "expected a table [limits]"),
            ("route = 3", "doubled brackets"),
            ("[route]\nmethod = \"GET\"", "doubled brackets"),
            ("functions = []", "tables [functions.<name>]"),
            ("[functions]\nf = \"x\"", "functions.f: found \"x\""),
            ("description = \"\"", "found \"\", expected a text"),
            ("[grants]\nhttp = true", "cannot be granted"),
            ("[limits]\nconcurrency = -1", "at least 1"),
            ("[limits]\nqueue = 99999999999999999999999", "a whole number"),
        ] {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
