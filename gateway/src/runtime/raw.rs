//! Which functions of a component read the raw request body, and which write the raw response.
//!
//! Both go through imports of the whole component, `unblock:task/body`; so the Rust SDK says function
//! by function who uses them, in the custom section `unblock:raw`: a line each, the function's name,
//! then `body`, `answer` or both. In a component without that section every function may do both.
//! Knows no engine.

use std::collections::BTreeMap;

/// The name of the section.
const SECTION: &str = "unblock:raw";

/// Bytes of a section that are read at most.
const SECTION_BYTES_MAX: usize = 64 << 10;

/// What one function does with raw bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawUse {
    /// It reads the request's body.
    pub body: bool,
    /// It may write the response's.
    pub answer: bool,
}

/// What a module says of its functions.
#[derive(Clone, Debug, Default)]
pub struct Raw(Option<BTreeMap<String, RawUse>>);

impl Raw {
    /// Takes in a custom section, if it is one of ours.
    pub fn read(&mut self, name: &str, data: &[u8]) {
        if name != SECTION || data.len() > SECTION_BYTES_MAX {
            return;
        }
        let functions = self.0.get_or_insert_default();
        for line in String::from_utf8_lossy(data).lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(function) = words.next() else { continue };
            let entry = functions.entry(function.to_owned()).or_default();
            for word in words {
                entry.body |= word == "body";
                entry.answer |= word == "answer";
            }
        }
    }

    /// What a function of a component that imports `unblock:task/body` does.
    #[must_use]
    pub fn of(&self, function: &str) -> RawUse {
        match &self.0 {
            None => RawUse { body: true, answer: true },
            Some(functions) => functions.get(function).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_every_function_may_and_with_one_only_those_named() {
        let mut raw = Raw::default();
        raw.read("other", b"a body\n");
        assert_eq!(raw.of("a"), RawUse { body: true, answer: true });
        raw.read(SECTION, b"a body\nb answer\nc answer body extra\n\xff\n\n");
        let told = ["a", "b", "c", "d"].map(|name| (raw.of(name).body, raw.of(name).answer));
        assert_eq!(told, [(true, false), (false, true), (true, true), (false, false)]);
    }
}
