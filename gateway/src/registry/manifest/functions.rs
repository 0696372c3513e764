//! `[functions.<name>]` of a manifest: texts and parameter names.
//!
//! What a module cannot say of itself. Whether there is such a function is checked in `task.rs`; the
//! module isn't seen here.

use super::reader::{Reader, Value, path};
use crate::registry::routes;
use crate::runtime::FunctionNotes;
use std::collections::BTreeMap;
use toml::de::DeTable;

const FUNCTION: &[&str] = &["description", "params"];

impl<'t> Reader<'t> {
    pub(super) fn functions(&mut self, table: &DeTable<'t>) -> BTreeMap<String, FunctionNotes> {
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
