//! A tree of stacks as a flame graph: an SVG with a script of its own for zoom and search.
//!
//! Drawn by `inferno`, which reads lines of text: what would mean something there is taken out of names.
//! It escapes them as XML. Bounded in frames, so that any browser opens it. Knows not whose stacks they are.

use super::stacks::Stacks;
use inferno::flamegraph::{self, Options};
use std::io;

/// Frames that are drawn, those with the most time: each takes some 600 bytes.
const FRAMES_MAX: usize = 4_000;

/// The graph. `about` stands under the title.
///
/// # Errors
/// The library found something wrong with what it was given.
pub fn svg(stacks: &Stacks, title: &str, about: &str) -> io::Result<Vec<u8>> {
    let mut lines = lines(stacks);
    if lines.is_empty() {
        lines.push("no samples: the guest was not seen at any tick 1".to_owned());
    }
    let mut options = Options::default();
    options.title = harmless(title);
    options.subtitle = Some(harmless(about));
    options.count_name = "ms".to_owned();
    options.factor = 0.001;
    options.deterministic = true;
    // As the lines come, so that a caller's callees stay together: sorted as text, "a!" comes between "a" and
    // "a;b". A chart is what is drawn so, from its last line on.
    options.flame_chart = true;
    lines.reverse();
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)?;
    Ok(svg)
}

/// A line for each leaf: the functions from the outermost to the innermost, and the microseconds.
fn lines(stacks: &Stacks) -> Vec<String> {
    let line = |leaf: super::stacks::Leaf| {
        let (mut at, mut names) = (Some(leaf.place), Vec::new());
        while let Some((name, caller)) = at.and_then(|at| stacks.of(at)) {
            names.push(frame(name));
            at = caller;
        }
        names.reverse();
        format!("{} {}", names.join(";"), leaf.micros)
    };
    stacks.leaves(FRAMES_MAX).into_iter().map(line).collect()
}

/// A name as a frame: without what separates frames, counts and comments.
fn frame(name: &str) -> String {
    let text = harmless(name).replace(';', ":");
    match text.trim() {
        "" => "?".to_owned(),
        // A last word of digits would be a count: a space that is none keeps it.
        text => match text.rsplit_once(' ') {
            Some((rest, last)) if last.chars().all(|c| c.is_ascii_digit() || c == '.') => {
                format!("{rest}\u{a0}{last}")
            }
            _ if text.starts_with('#') => format!("\u{200b}{text}"),
            _ => text.to_owned(),
        },
    }
}

/// Without characters that XML has no place for.
fn harmless(text: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::stacks::Room;
    use super::*;
    use crate::runtime::Frame;

    fn drawn(samples: &[(&[&str], u64)]) -> String {
        let mut stacks = Stacks::new(Room { functions: 10_000, places: 20_000 });
        let mut keys = std::collections::HashMap::new();
        for (names, ms) in samples {
            let mut frames = Vec::new();
            for name in *names {
                let next = u32::try_from(keys.len()).expect("few");
                frames.push(Frame::of(*keys.entry(*name).or_insert(next), Some(name)));
            }
            stacks.add(&frames, false, *ms * 1_000);
        }
        String::from_utf8(svg(&stacks, "a <task>", "about & more").expect("drawn")).expect("UTF-8")
    }

    #[test]
    fn names_are_shown_and_never_read_as_anything_else() {
        let hostile = "</svg><script>alert(1)</script>";
        let svg = drawn(&[
            (&[hostile, "a;b", "main"], 3),
            (&["function 12", "main"], 4),
            (&["ends in 1.5", "# main"], 2),
            (&["]]>&\"'", "main"], 1),
        ]);
        assert!(!svg.contains("<script>alert"), "{svg}");
        assert!(svg.contains("&lt;/svg&gt;&lt;script&gt;alert(1)&lt;/script&gt; (3 ms, 30.00%)"), "{svg}");
        for shown in
            ["a:b (3 ms", "function\u{a0}12 (4 ms", "ends in\u{a0}1.5 (2 ms", "main (8 ms", "# main (2 ms"]
        {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        assert!(svg.contains("all (10 ms, 100%)") && svg.contains("a &lt;task&gt;"), "{svg}");
    }

    #[test]
    fn callees_stay_with_their_caller_whatever_their_names() {
        let svg = drawn(&[(&["a"], 5), (&["b", "a"], 3), (&["a!"], 2)]);
        assert_eq!(svg.matches("<title>a (").count(), 1, "{svg}");
        assert!(svg.contains("<title>a (8 ms"), "{svg}");
    }

    #[test]
    fn nothing_and_far_too_much_are_drawn_too() {
        assert!(drawn(&[]).contains("no samples"));
        let names: Vec<String> = (0..9_000).map(|n| format!("f{n}-{}", "x".repeat(190))).collect();
        let samples: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
        let samples: Vec<(&[&str], u64)> = samples.iter().map(|name| (&name[..], 1)).collect();
        let svg = drawn(&samples);
        assert!(svg.len() < 4 << 20, "{} bytes", svg.len());
    }
}
