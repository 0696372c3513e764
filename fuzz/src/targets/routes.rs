//! Lines of patterns and a path → the table of routes → a look-up.
//!
//! The first line is the path, the others are patterns. A route that is taken up is found by its own text, unless a
//! parameter of another one claims that; decoded parameters have the names of the pattern.

use gateway::registry::fuzzing;

pub(super) fn feed(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let path = lines.next().unwrap_or_default();
    let patterns: Vec<&str> = lines.take(32).collect();
    fuzzing::routes(&patterns, path);
}
