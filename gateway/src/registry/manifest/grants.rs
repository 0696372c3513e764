//! `[grants]` of a manifest: what the task may use beyond computing.
//!
//! Read and checked as text here. Which folder relative paths start from, whether a directory exists
//! and what the gateway's own variables hold is the matter of `registry/grants.rs`.

use super::reader::{Reader, Value, path};
use crate::grants::{Dir, Target, http_target, socket_target};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use toml::de::DeTable;

const GRANTS: &[&str] = &["env", "env_from", "dirs", "http", "sockets"];
const DIR: &[&str] = &["host", "guest", "write"];

/// What a manifest asks to be granted, not yet tied to this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Variables with their values.
    pub env: BTreeMap<String, String>,
    /// Variables that are passed on from the gateway's own environment.
    pub env_from: BTreeSet<String>,
    /// Directories; paths as they are written.
    pub dirs: Vec<Dir>,
    /// Hosts for HTTP.
    pub http: Vec<Target>,
    /// Hosts for sockets.
    pub sockets: Vec<Target>,
}

impl<'t> Reader<'t> {
    pub(super) fn grants(&mut self, table: &DeTable<'t>) -> Asked {
        self.unknown(table, "grants", GRANTS);
        let env = table.get("env").map(|value| self.env(value)).unwrap_or_default();
        Asked {
            env_from: table.get("env_from").map(|value| self.env_from(value, &env)).unwrap_or_default(),
            env,
            dirs: table.get("dirs").map(|value| self.dirs(value)).unwrap_or_default(),
            http: table.get("http").map(|value| self.targets(value, "http", http_target)).unwrap_or_default(),
            sockets: table
                .get("sockets")
                .map(|value| self.targets(value, "sockets", socket_target))
                .unwrap_or_default(),
        }
    }

    fn env(&mut self, value: &Value<'t>) -> BTreeMap<String, String> {
        const EXPECTED: &str = "variables with their values, such as { LANG = \"C\" }";
        let mut env = BTreeMap::new();
        let Some(table) = self.table(value, "grants.env", EXPECTED) else { return env };
        for (name, value) in table {
            let key = path("grants.env", name.get_ref());
            if !is_variable(name.get_ref()) {
                self.wrong(name.span(), &key, format!("found this name, expected {VARIABLE}"));
            }
            match value.get_ref().as_str() {
                Some(text) if !text.contains('\0') => {
                    env.insert(name.get_ref().to_string(), text.to_owned());
                }
                _ => self.expected(value, &key, "a text in quotes"),
            }
        }
        env
    }

    fn env_from(&mut self, value: &Value<'t>, env: &BTreeMap<String, String>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (key, value) in self.list(value, "env_from", "a list of names, such as [\"API_TOKEN\"]") {
            let Some(name) = value.get_ref().as_str().filter(|name| is_variable(name)) else {
                self.expected(value, &key, VARIABLE);
                continue;
            };
            if env.contains_key(name) {
                self.wrong(
                    value.span(),
                    &key,
                    format!("{name} has a value in grants.env already; remove one"),
                );
            } else if !names.insert(name.to_owned()) {
                self.expected(value, &key, "each name once");
            }
        }
        names
    }

    fn dirs(&mut self, value: &Value<'t>) -> Vec<Dir> {
        const EXPECTED: &str = "a list of directories, such as [{ host = \"data\", guest = \"/data\" }]";
        let mut dirs: Vec<Dir> = Vec::new();
        for (key, value) in self.list(value, "dirs", EXPECTED) {
            let expected = "a directory, such as { host = \"data\", guest = \"/data\", write = true }";
            let Some(table) = self.table(value, &key, expected) else { continue };
            self.unknown(table, &key, DIR);
            let host = self.dir_text(table, value, &key, "host");
            let guest = self.dir_text(table, value, &key, "guest");
            let write = match table.get("write") {
                None => Some(false),
                Some(value) => {
                    let write = value.get_ref().as_bool();
                    if write.is_none() {
                        self.expected(value, &path(&key, "write"), "true or false");
                    }
                    write
                }
            };
            let (Some(host), Some(guest), Some(write)) = (host, guest, write) else { continue };
            if let Err(message) = check_guest(&guest) {
                self.wrong(value.span(), &path(&key, "guest"), message);
            } else if dirs.iter().any(|dir| dir.guest == guest) {
                let what = format!("found {guest:?} twice, expected each path once");
                self.wrong(value.span(), &path(&key, "guest"), what);
            } else {
                dirs.push(Dir { host: PathBuf::from(host), guest, write });
            }
        }
        dirs
    }

    fn dir_text(&mut self, table: &DeTable<'t>, dir: &Value<'t>, key: &str, name: &str) -> Option<String> {
        let Some(value) = table.get(name) else {
            self.wrong(dir.span(), key, format!("found no {name}, expected host and guest"));
            return None;
        };
        let text = self.string(value, &path(key, name), "a path")?;
        if text.contains('\0') {
            self.expected(value, &path(key, name), "a path");
            return None;
        }
        Some(text)
    }

    fn targets(
        &mut self,
        value: &Value<'t>,
        name: &str,
        read: impl Fn(&str) -> Result<Target, String>,
    ) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for (key, value) in self.list(value, name, "a list of hosts, such as [\"example.com:443\"]") {
            let Some(text) = value.get_ref().as_str() else {
                self.expected(value, &key, "a host in quotes");
                continue;
            };
            match read(text) {
                Ok(target) if targets.contains(&target) => self.expected(value, &key, "each host once"),
                Ok(target) => targets.push(target),
                Err(message) => self.wrong(value.span(), &key, message),
            }
        }
        targets
    }

    /// The items of a list with their keys.
    fn list<'v>(&mut self, value: &'v Value<'t>, name: &str, expected: &str) -> Vec<(String, &'v Value<'t>)> {
        let key = path("grants", name);
        let Some(array) = value.get_ref().as_array() else {
            self.expected(value, &key, expected);
            return Vec::new();
        };
        array.iter().enumerate().map(|(index, value)| (format!("{key}[{index}]"), value)).collect()
    }
}

const VARIABLE: &str = "the name of a variable: letters, digits and '_', not starting with a digit";

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Checks the path under which a task sees a directory.
///
/// # Errors
/// What was found and what was expected.
pub fn check_guest(guest: &str) -> Result<(), String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fits = guest == "/" || guest.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
    if fits {
        return Ok(());
    }
    Err(format!(
        "found {guest:?}, expected a path from the root, such as \"/data\", without \".\", \"..\" and a slash at its end"
    ))
}
