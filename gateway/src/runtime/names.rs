//! A guest's function names as people read them, whatever the guest made of them.
//!
//! Names come from the module's name section, which is the guest's to fill: mangled, of any length, with
//! characters that break lines or terminals. What leaves here is bounded and harmless as text; markup is
//! for whoever writes that. Knows nothing of where a name is shown.

use std::fmt::{self, Write as _};

/// Characters of a name that are shown.
pub(super) const NAME_CHARS_MAX: usize = 200;

/// Longest name that is demangled, in bytes.
const MANGLED_BYTES_MAX: usize = 4 << 10;

/// The name of the function at `index`, or its index if it has none, with its module's name if that has one.
pub(super) fn readable(name: Option<&str>, index: u32, module: Option<&str>) -> String {
    match (name, module) {
        (Some(name), _) if !name.trim().is_empty() => {
            let mut out = Bounded { text: String::new(), left: NAME_CHARS_MAX };
            // Its error is the bound: a demangler that unfolds a name without end stops there.
            let _ = match name.len() <= MANGLED_BYTES_MAX {
                // Rust names as people write them, without the hash.
                true => write!(out, "{:#}", rustc_demangle::demangle(name)),
                false => out.write_str(name),
            };
            out.text
        }
        (_, Some(module)) if !module.trim().is_empty() => {
            let mut out = Bounded { text: String::new(), left: NAME_CHARS_MAX };
            let _ = write!(out, "function {index} of {module}");
            out.text
        }
        _ => format!("function {index}"),
    }
}

/// Takes so many characters and then no more.
struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_cut_and_freed_of_control_characters() {
        let mangled = "_ZN4core3ptr13drop_in_place17h0123456789abcdefE";
        assert_eq!(readable(Some(mangled), 1, None), "core::ptr::drop_in_place");
        assert_eq!(readable(Some("plain"), 1, None), "plain");
        assert_eq!(readable(None, 7, None), "function 7");
        assert_eq!(readable(Some(" "), 7, None), "function 7");
        assert_eq!(readable(None, 7, Some("a\nb")), "function 7 of a\u{fffd}b");
        assert_eq!(readable(Some("a\n\x1b[31mb"), 1, None), "a\u{fffd}\u{fffd}[31mb");
        assert_eq!(readable(Some(&"ä".repeat(100_000)), 1, None).chars().count(), NAME_CHARS_MAX);
        // Each level of this name unfolds the one before twice.
        let mut bomb = "_RNvC1a1b".to_owned();
        for _ in 0..200 {
            bomb = format!("_RI{}B_B_E", &bomb[2..]);
        }
        assert!(readable(Some(&bomb), 1, None).chars().count() <= NAME_CHARS_MAX);
    }
}
