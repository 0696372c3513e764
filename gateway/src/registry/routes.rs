//! Routes: the paths a manifest may ask for, and the table that a snapshot answers from.
//!
//! Owns what a path pattern may look like, which paths belong to the gateway itself, when two
//! routes are the same, and the look-up (`matchit`, one router per table, methods inside). It
//! knows tasks by their names only, neither manifests nor files nor HTTP types.

use crate::task::TaskName;
use matchit::Router;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Longest path pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1_000;

/// Longest method, in bytes; the registered ones are shorter.
const METHOD_BYTES_MAX: usize = 20;

/// First segments that belong to the gateway; those that start with `-` do as well.
const RESERVED: &[&str] = &[
    "",
    "tasks",
    "livez",
    "readyz",
    "metrics",
    "openapi.json",
    "docs",
    "problems",
    "calls",
    "state",
    "events",
    "page",
    "jobs",
];

/// The method of a route that takes every method.
pub const ANY: &str = "ANY";

/// A path with parameters: `/sleep/{seconds}`. A parameter fills a whole segment, and `{*rest}` all
/// segments that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Fixed(String),
    Param(String),
    Rest(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A text that says what was found, what was expected and what would help.
    pub fn parse(path: &str) -> Result<Self, String> {
        let found = format!("found {path:?}");
        if path.len() > PATTERN_BYTES_MAX {
            return Err(format!("found {} bytes, expected at most {PATTERN_BYTES_MAX}", path.len()));
        }
        let Some(rest) = path.strip_prefix('/') else {
            return Err(format!(
                "{found}, expected a path that starts with '/', such as \"/sleep/{{seconds}}\""
            ));
        };
        let segments = rest
            .split('/')
            .map(|segment| Segment::parse(segment).map_err(|message| format!("{found}, {message}")))
            .collect::<Result<Vec<_>, _>>()?;
        match segments.first() {
            Some(Segment::Fixed(first)) if RESERVED.contains(&first.as_str()) || first.starts_with('-') => {
                let mine = if first.is_empty() { "/".to_owned() } else { format!("/{first}") };
                return Err(format!(
                    "{found}, but {mine} belongs to the gateway; choose another first segment"
                ));
            }
            Some(Segment::Param(_) | Segment::Rest(_)) => {
                return Err(format!(
                    "{found}, expected a fixed first segment: a parameter there would claim every path"
                ));
            }
            _ => {}
        }
        if segments.iter().any(|s| matches!(s, Segment::Fixed(text) if text.is_empty())) {
            return Err(format!("{found}, expected no empty segment and no '/' at the end"));
        }
        if segments.iter().rev().skip(1).any(|s| matches!(s, Segment::Rest(_))) {
            return Err(format!("{found}, expected {{*…}} at the end only: it takes the rest of the path"));
        }
        let pattern = Self { segments };
        let mut names: Vec<&str> = pattern.params().collect();
        names.sort_unstable();
        if let Some(twice) =
            names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first()))
        {
            return Err(format!(
                "{found}, expected the parameter {:?} once",
                twice.copied().unwrap_or_default()
            ));
        }
        Ok(pattern)
    }

    /// The parameters' names, from left to right.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) | Segment::Rest(name) => Some(name.as_str()),
            Segment::Fixed(_) => None,
        })
    }

    /// Whether it ends in `{*rest}`.
    #[must_use]
    pub fn takes_rest(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// Whether both match the same paths: parameters may be called differently.
    #[must_use]
    pub fn same_paths(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// The pattern with its parameters numbered: equal for patterns that match the same paths.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        let mut count = 0;
        for segment in &self.segments {
            key.push('/');
            match segment {
                Segment::Fixed(text) => key.push_str(text),
                Segment::Param(_) => {
                    key.push_str(&format!("{{{count}}}"));
                    count += 1;
                }
                Segment::Rest(_) => key.push_str("{*rest}"),
            }
        }
        key
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Fixed(text) => write!(f, "/{text}"),
            Segment::Param(name) => write!(f, "/{{{name}}}"),
            Segment::Rest(name) => write!(f, "/{{*{name}}}"),
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let (name, rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
            return match is_param_name(name) {
                true if rest => Ok(Self::Rest(name.to_owned())),
                true => Ok(Self::Param(name.to_owned())),
                false => {
                    Err(format!("expected a parameter's name of letters, digits, '-' and '_' in {text:?}"))
                }
            };
        }
        // What needs no percent-encoding in a path (RFC 3986), so that a pattern has one spelling.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&b);
        if text.contains(['{', '}']) {
            return Err(format!("expected a parameter to fill its whole segment, unlike in {text:?}"));
        }
        if text == "." || text == ".." || !text.bytes().all(plain) {
            return Err(format!("expected unreserved URL characters only, unlike in {text:?}"));
        }
        Ok(Self::Fixed(text.to_owned()))
    }
}

/// Whether `name` can be a parameter's name.
#[must_use]
pub fn is_param_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Checks a route's method.
///
/// # Errors
/// A text that says what was found and what was expected.
pub fn check_method(method: &str) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_uppercase() || b == b'-';
    match method {
        "OPTIONS" => {
            Err("found \"OPTIONS\", which the gateway answers itself for every route; remove it".to_owned())
        }
        "CONNECT" | "TRACE" => {
            Err(format!("found {method:?}, which no server should offer; choose GET or POST"))
        }
        _ if !method.is_empty() && method.len() <= METHOD_BYTES_MAX && method.bytes().all(token) => Ok(()),
        _ => Err(format!("found {method:?}, expected a method in capitals, such as \"GET\" or \"POST\"")),
    }
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The task.
    pub task: TaskName,
    /// Index of its function; `None` for a task of streams.
    pub function: Option<usize>,
    /// The pattern, with its own names of the parameters.
    pub path: Arc<str>,
    /// The names of the path's parameters, from left to right.
    params: Arc<[String]>,
}

/// The answer of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t> {
    /// A route, and the path's parameters, decoded.
    Route(&'t Target, Vec<(String, String)>),
    /// The path is served with these methods only.
    OtherMethods(Vec<String>),
    /// No route has this path.
    Nothing,
}

/// All routes of a snapshot.
#[derive(Clone, Default)]
pub struct Table {
    router: Router<BTreeMap<String, Target>>,
}

impl Table {
    /// Builds the table. A route that is there already is left out and returned: the callers make
    /// sure that none is.
    pub fn build<'r>(
        routes: impl Iterator<Item = (&'r TaskName, &'r str, &'r Pattern, Option<usize>)>,
    ) -> (Self, Vec<String>) {
        let mut methods: BTreeMap<String, BTreeMap<String, Target>> = BTreeMap::new();
        let mut left_out = Vec::new();
        for (task, method, pattern, function) in routes {
            let target = Target {
                task: task.clone(),
                function,
                path: pattern.to_string().into(),
                params: pattern.params().map(str::to_owned).collect(),
            };
            let at = methods.entry(pattern.key()).or_default();
            if at.contains_key(method) {
                left_out.push(format!("{method} {pattern} of {task}"));
            } else {
                at.insert(method.to_owned(), target);
            }
        }
        let mut router = Router::new();
        for (key, at) in methods {
            if let Err(error) = router.insert(&key, at) {
                left_out.push(format!("{key}: {error}"));
            }
        }
        (Self { router }, left_out)
    }

    /// Looks up a request's path, as it stands in the URL. HEAD falls back to GET.
    pub fn find(&self, method: &str, path: &str) -> Found<'_> {
        let Ok(matched) = self.router.at(path) else { return Found::Nothing };
        let Some(target) = matched
            .value
            .get(method)
            .or_else(|| (method == "HEAD").then(|| matched.value.get("GET")).flatten())
            .or_else(|| matched.value.get(ANY))
        else {
            let mut allow: Vec<String> = matched.value.keys().cloned().collect();
            if matched.value.contains_key("GET") && !matched.value.contains_key("HEAD") {
                allow.push("HEAD".to_owned());
            }
            allow.sort_unstable();
            return Found::OtherMethods(allow);
        };
        let mut pairs = Vec::with_capacity(target.params.len());
        for (name, (_, value)) in target.params.iter().zip(matched.params.iter()) {
            // Bytes that are no text cannot be a parameter's value: no such path.
            let Ok(value) = percent_decode_str(value).decode_utf8() else { return Found::Nothing };
            pairs.push((name.clone(), value.into_owned()));
        }
        Found::Route(target, pairs)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, &str, &str)]) -> (Table, Vec<String>) {
        let parsed: Vec<(TaskName, &str, Pattern)> = routes
            .iter()
            .map(|(task, method, path)| {
                (TaskName::new(task).unwrap(), *method, Pattern::parse(path).unwrap())
            })
            .collect();
        Table::build(parsed.iter().map(|(task, method, pattern)| (task, *method, pattern, Some(0))))
    }

    fn route(table: &Table, method: &str, path: &str) -> Option<(String, Vec<(String, String)>)> {
        match table.find(method, path) {
            Found::Route(target, pairs) => Some((target.task.to_string(), pairs)),
            _ => None,
        }
    }

    #[test]
    fn paths_of_the_gateway_cannot_be_taken() {
        for path in [
            "/",
            "/tasks",
            "/tasks/x",
            "/livez",
            "/readyz/x",
            "/metrics",
            "/openapi.json",
            "/docs",
            "/problems/x",
            "/-/x",
            "/-x",
            "/calls/{id}",
            "/state",
            "/events",
            "/page/x",
            "/jobs/1",
            "//x",
        ] {
            let message = Pattern::parse(path).unwrap_err();
            assert!(message.contains("belongs to the gateway"), "{path}: {message}");
        }
        for path in ["/{x}", "/{x}/tasks"] {
            assert!(Pattern::parse(path).unwrap_err().contains("fixed first segment"), "{path}");
        }
        for path in ["/task", "/taskss/x", "/docs-of-mine"] {
            assert!(Pattern::parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_pattern_has_one_spelling() {
        for (path, part) in [
            ("sleep", "starts with '/'"),
            ("", "starts with '/'"),
            ("/a/", "no '/' at the end"),
            ("/a//b", "no empty segment"),
            ("/a/b{c}", "whole segment"),
            ("/a/{b}c", "whole segment"),
            ("/a/{*rest}/b", "at the end only"),
            ("/a/{*}", "letters"),
            ("/a/{}", "letters"),
            ("/a/{b}/{b}", "\"b\" once"),
            ("/a b", "unreserved"),
            ("/a%20b", "unreserved"),
            ("/a?b", "unreserved"),
            ("/a/../b", "unreserved"),
        ] {
            let message = Pattern::parse(path).unwrap_err();
            assert!(message.contains(part), "{path}: {message}");
        }
        assert_eq!(Pattern::parse("/a/{b-c}/d").unwrap().to_string(), "/a/{b-c}/d");
    }

    #[test]
    fn methods_are_capitals_and_some_are_not_for_tasks() {
        for good in ["GET", "POST", "HEAD", "M-SEARCH"] {
            assert_eq!(check_method(good), Ok(()));
        }
        for bad in ["", "get", "GE T", "OPTIONS", "TRACE", "CONNECT"] {
            assert!(check_method(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_leads_to_its_task_with_decoded_parameters() {
        let (table, left_out) = table(&[
            ("sleep", "GET", "/sleep/{seconds}"),
            ("nap", "POST", "/sleep/{length}"),
            ("now", "GET", "/sleep/now"),
            ("deep", "GET", "/a/{b}/c/{d}"),
        ]);
        assert!(left_out.is_empty());
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        assert_eq!(route(&table, "GET", "/sleep/10"), Some(("sleep".into(), pairs(&[("seconds", "10")]))));
        assert_eq!(route(&table, "HEAD", "/sleep/10"), Some(("sleep".into(), pairs(&[("seconds", "10")]))));
        assert_eq!(route(&table, "POST", "/sleep/10"), Some(("nap".into(), pairs(&[("length", "10")]))));
        assert_eq!(route(&table, "GET", "/sleep/now"), Some(("now".into(), pairs(&[]))));
        assert_eq!(
            route(&table, "GET", "/a/x%20y/c/%C3%A4%2F"),
            Some(("deep".into(), pairs(&[("b", "x y"), ("d", "ä/")])))
        );
        assert_eq!(table.find("GET", "/a/%ff/c/d"), Found::Nothing);
        for path in ["/sleep", "/sleep/", "/sleep/1/2", "/", "", "sleep/1"] {
            assert_eq!(table.find("GET", path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn other_methods_are_named() {
        let (table, _) = table(&[("sleep", "GET", "/sleep/{seconds}"), ("nap", "PUT", "/sleep/{length}")]);
        let allow = ["GET", "HEAD", "PUT"].map(str::to_owned).to_vec();
        assert_eq!(table.find("DELETE", "/sleep/1"), Found::OtherMethods(allow));
    }

    #[test]
    fn a_route_is_taken_once() {
        let (table, left_out) = table(&[("a", "GET", "/x/{y}"), ("b", "GET", "/x/{z}")]);
        assert_eq!(left_out, ["GET /x/{z} of b"]);
        assert_eq!(route(&table, "GET", "/x/1").map(|found| found.0), Some("a".to_owned()));
    }
}
