//! Doc comments that travel in a module: the custom section `package-docs`.
//!
//! The section's format is `wit-parser`'s (a version byte, then JSON: `interfaces` and `worlds` by
//! name, each with `docs` and `funcs`). It is read leniently: a newer format costs the texts,
//! never the task. Tools put it at the component's top or into its core module; both are read. A
//! linker puts sections of one name together, so there may be several documents, one after the other.

use serde_json::Value;
use std::collections::BTreeMap;

/// The name of the section, as `wit-parser` and `wit-docs-inject` write it.
const SECTION: &str = "package-docs";

/// Bytes of a section that are read at most; doc comments are texts for people.
const SECTION_BYTES_MAX: usize = 1 << 20;

/// Doc comments of one module.
#[derive(Clone, Debug, Default)]
pub struct Docs {
    /// Of the package, or of its world.
    pub task: Option<String>,
    /// Functions of interfaces, by interface name without package and version, then by function.
    interfaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Functions that a world exports itself.
    root: BTreeMap<String, String>,
}

impl Docs {
    /// Takes in a custom section, if it is one of ours.
    pub fn read(&mut self, name: &str, data: &[u8]) {
        if name != SECTION || data.len() > SECTION_BYTES_MAX {
            return;
        }
        let mut rest = data;
        while let Some((_version, json)) = rest.split_first() {
            let mut documents = serde_json::Deserializer::from_slice(json).into_iter::<Value>();
            let Some(Ok(document)) = documents.next() else { return };
            rest = json.get(documents.byte_offset()..).unwrap_or_default();
            self.document(&document);
        }
    }

    fn document(&mut self, document: &Value) {
        let text = |value: &Value| value.get("docs").and_then(Value::as_str).map(str::to_owned);
        self.task = self.task.take().or_else(|| text(document));
        for (name, interface) in members(document, "interfaces") {
            self.interfaces.entry(name.clone()).or_default().extend(functions(interface, "funcs"));
        }
        for (_, world) in members(document, "worlds") {
            self.task = self.task.take().or_else(|| text(world));
            self.root.extend(functions(world, "func_exports"));
            self.root.extend(functions(world, "funcs"));
            for (name, interface) in members(world, "interface_exports") {
                self.interfaces.entry(name.clone()).or_default().extend(functions(interface, "funcs"));
            }
        }
    }

    /// The doc comment of a function.
    #[must_use]
    pub fn function(&self, interface: Option<&str>, function: &str) -> Option<String> {
        match interface {
            None => self.root.get(function).cloned(),
            Some(interface) => self.interfaces.get(short(interface))?.get(function).cloned(),
        }
    }
}

/// `demo:app/api@1.0.0` → `api`; a plain name stays.
fn short(interface: &str) -> &str {
    let name = interface.rsplit_once('/').map_or(interface, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn members<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// Function docs are either plain texts (format 0) or objects with `docs` (format 1).
fn functions(owner: &Value, key: &str) -> BTreeMap<String, String> {
    members(owner, key)
        .filter_map(|(name, value)| {
            let text = value.as_str().or_else(|| value.get("docs")?.as_str())?;
            Some((name.clone(), text.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let mut docs = Docs::default();
        docs.read(SECTION, b"\x00{\"interfaces\":{\"api\":{\"funcs\":{\"a\":\"Does a.\"}}}}");
        docs.read(
            SECTION,
            b"\x01{\"docs\":\"A task.\",\"worlds\":{\"w\":{\"func_exports\":{\"b\":{\"docs\":\"Does b.\\n\"}}}}}",
        );
        assert_eq!(docs.task.as_deref(), Some("A task."));
        assert_eq!(docs.function(Some("demo:app/api@1.0.0"), "a").as_deref(), Some("Does a."));
        assert_eq!(docs.function(None, "b").as_deref(), Some("Does b."));
        assert_eq!(docs.function(None, "c"), None);
    }

    #[test]
    fn documents_that_a_linker_put_together_are_all_read() {
        let mut docs = Docs::default();
        docs.read(
            SECTION,
            b"\x01{\"worlds\":{\"root\":{\"docs\":\"A task.\",\"interface_exports\":{\"a\":{\"funcs\":{\"a\":\"Does a.\"}}}}}}\
              \x01{\"worlds\":{\"root\":{\"interface_exports\":{\"b\":{\"funcs\":{\"b\":\"Does b.\"}}}}}}\x01{",
        );
        assert_eq!(docs.task.as_deref(), Some("A task."));
        assert_eq!(docs.function(Some("a"), "a").as_deref(), Some("Does a."));
        assert_eq!(docs.function(Some("b"), "b").as_deref(), Some("Does b."));
    }

    #[test]
    fn garbage_costs_nothing() {
        let mut docs = Docs::default();
        for bytes in [&b""[..], b"\x01", b"\x01{", b"\x01[]", b"\xff{\"interfaces\":3}"] {
            docs.read(SECTION, bytes);
        }
        assert_eq!(docs.function(None, "a"), None);
    }
}
