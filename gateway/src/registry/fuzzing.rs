//! Doors for the fuzzer (`fuzz/`): what is private here, as functions of texts that panic at what must not be.
//!
//! Not for anybody else, and no part of the product: nothing calls it. Owns what is promised of the
//! table of routes, and no route.

use super::routes::{Found, Pattern, Table};
use crate::task::TaskName;

/// Builds the table of all patterns that are accepted, and looks up `path` and the patterns' own texts.
pub fn routes(patterns: &[&str], path: &str) {
    let Ok(task) = TaskName::new("fuzzed") else { return };
    let parsed: Vec<Pattern> = patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
    let routes = parsed.iter().enumerate().map(|(index, pattern)| (&task, "GET", pattern, Some(index)));
    let (table, left_out) = Table::build(routes);
    let promised = |found: Found<'_>| {
        let Found::Route(target, pairs) = found else { return false };
        let pattern = target.function.and_then(|index| parsed.get(index));
        let names = pattern.map(|pattern| pattern.params().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(names, pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        true
    };
    promised(table.find("GET", path));
    promised(table.find("HEAD", path));
    // The other methods of a path that is served are told.
    assert!(!matches!(table.find("DELETE", path), Found::Route(..)));
    // With one route only, its own text is a path of it, parameters standing for themselves.
    if let ([pattern], true) = (parsed.as_slice(), left_out.is_empty()) {
        let own = pattern.to_string();
        let plain = own.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/{}_".contains(&byte));
        assert!(!plain || promised(table.find("GET", &own)), "{own} does not find itself");
    }
}
