//! A task as it is served: the prepared module tied to its limits, routes and share of the pool.
//!
//! Owns the checks that need both the module and its manifest: that routes and notes name real
//! functions and parameters, and that the module fits its limits. It doesn't read files and
//! doesn't know other tasks. A task never changes; a new version is another value.

use super::manifest::{Manifest, Wish};
use super::routes::ANY;
use super::{Loader, Settings, grants};
use crate::error::{LoadError, nearest};
use crate::exchange::Printed;
use crate::grants::Grants;
use crate::limits::{self, Limits};
use crate::observe::{Counted, Figures};
use crate::runtime::{Granted, Prepared};
use crate::task::{Kind, TaskName};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use unblock_pool::{Share, ShareLimits};

/// A loaded task. Calls hold it for as long as they last, so a version that was replaced or
/// deleted ends with its last call.
pub struct Task {
    /// Its name.
    pub name: TaskName,
    /// The module. Shared with other versions that differ in their manifest only.
    pub prepared: Arc<Prepared>,
    /// Names module and manifest: it changes with every byte of either.
    pub tag: String,
    /// What each of its calls runs under.
    pub limits: Limits,
    /// What the author should know although the task is served.
    pub warnings: Vec<String>,
    /// The routes of its own.
    pub routes: Vec<Route>,
    /// What a command's standard output is.
    pub printed: Printed,
    /// What it may use beyond computing.
    pub grants: Grants,
    /// The same, as its runs take it.
    pub granted: Granted,
    /// Its bulkhead in the pool; the same one for all versions.
    pub share: Share,
    /// When this version began to serve.
    pub loaded: SystemTime,
    /// What happened so far, over all versions since the task's name appeared.
    pub figures: Arc<Figures>,
    /// Where each of its functions counts there, in the order of [`Prepared::functions`].
    counted: Vec<Counted>,
    /// Where its calls count if it is one of streams.
    whole: Option<Counted>,
}

/// A route of a task, tied to its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: String,
    /// The path, with `{parameters}`.
    pub path: String,
    /// Index of the function in [`Prepared::functions`]; `None` for a task of streams.
    pub function: Option<usize>,
    /// The path as the table of routes takes it.
    pub(super) pattern: super::routes::Pattern,
}

impl Task {
    /// `name@digest`, as in the header `Unblock-Task`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}@{}", self.name, self.prepared.digest)
    }

    /// Where calls of a function count in [`Task::figures`]; `None` is the whole task.
    #[must_use]
    pub fn counted(&self, function: Option<usize>) -> Option<&Counted> {
        function.map_or(self.whole.as_ref(), |index| self.counted.get(index))
    }
}

const _: () = assert!(limits::WEIGHT_MAX == ShareLimits::WEIGHT_MAX as usize, "the pool's range");

/// What the pool is to know of a task's limits.
#[must_use]
pub fn share_limits(limits: &Limits) -> ShareLimits {
    ShareLimits {
        concurrency: limits.concurrency,
        queue: limits.queue,
        weight: u32::try_from(limits.weight).unwrap_or(ShareLimits::WEIGHT_MAX),
    }
}

/// What a version is made of.
pub(super) struct Parts<'a> {
    pub name: &'a TaskName,
    /// The module's file name.
    pub file: &'a str,
    pub prepared: Arc<Prepared>,
    pub manifest: &'a Manifest,
    pub settings: &'a Settings,
    /// Where the files lie: relative paths of grants start there.
    pub folder: &'a Path,
}

impl Parts<'_> {
    /// Makes the version that follows `previous`.
    ///
    /// # Errors
    /// All that doesn't fit between module and manifest, together. The share's limits are left
    /// alone then.
    pub(super) fn assemble(self, previous: Option<&Task>, loader: &dyn Loader) -> Result<Task, LoadError> {
        let mut mistakes = Vec::new();
        let routes: Vec<Route> =
            self.manifest.routes.iter().filter_map(|wish| self.route(wish, &mut mistakes)).collect();
        self.check_notes(&mut mistakes);
        self.check_printed(&mut mistakes);
        let manifest_file = format!("{}.toml", self.name);
        let place = if mistakes.is_empty() { "this machine" } else { self.file };
        let grants = grants::tie(&self.manifest.asked, self.folder, self.settings, &mut mistakes);
        if !mistakes.is_empty() {
            let reason = format!("{manifest_file} does not fit {place}:\n  {}", mistakes.join("\n  "));
            return Err(LoadError::new(
                reason,
                format!("correct {manifest_file}; it is read again when it is saved"),
            ));
        }
        let (limits, capped) = self.settings.defaults.merge(&self.manifest.limits, &self.settings.ceilings);
        let memory_min = self.prepared.memory_min;
        if memory_min > limits.memory {
            return Err(LoadError::new(
                format!(
                    "{} starts with {} of memory, but its limit is {}: no call could run",
                    self.file,
                    limits::bytes(memory_min),
                    limits::bytes(limits.memory)
                ),
                format!(
                    "in {manifest_file}, under [limits], raise memory to {:?} or more",
                    limits::bytes(memory_min)
                ),
            ));
        }
        let share = match previous {
            Some(previous) => {
                previous.share.set_limits(share_limits(&limits));
                previous.share.clone()
            }
            None => loader.share(self.name, &limits),
        };
        let tag = match &self.manifest.digest {
            Some(manifest) => format!("{}.{manifest}", self.prepared.digest),
            None => self.prepared.digest.to_string(),
        };
        let figures = match previous {
            Some(previous) => Arc::clone(&previous.figures),
            None => Figures::new(self.name.clone()),
        };
        let counted = self.prepared.names().iter().map(|name| figures.function(name)).collect();
        let whole = self.prepared.kind.streams().then(|| figures.function(""));
        Ok(Task {
            name: self.name.clone(),
            tag,
            prepared: self.prepared,
            limits,
            warnings: capped.iter().map(ToString::to_string).collect(),
            routes,
            printed: self.manifest.printed.clone(),
            granted: Granted::from(&grants),
            grants,
            share,
            loaded: SystemTime::now(),
            figures,
            counted,
            whole,
        })
    }

    fn route(&self, wish: &Wish, mistakes: &mut Vec<String>) -> Option<Route> {
        let at = format!("line {}: route {} {}", wish.line, wish.method, wish.pattern);
        if self.prepared.kind.streams() {
            return self.whole_route(wish, &at, mistakes);
        }
        if wish.method == ANY || wish.pattern.takes_rest() {
            mistakes.push(format!(
                "{at}: the method ANY and {{*…}} are for tasks that take requests as they come (wasi:http guests and \
                 commands); name a method and each parameter"
            ));
            return None;
        }
        let index = match self.prepared.find(wish.function.as_deref()) {
            Ok(index) => index,
            Err(error) => {
                let near = match error.nearest.first() {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                mistakes.push(format!("{at}: {}{near}", error.detail));
                return None;
            }
        };
        let function = self.prepared.functions.get(index)?;
        let known: Vec<&str> = function.params.iter().map(|param| param.name.as_str()).collect();
        let mut fits = true;
        for name in wish.pattern.params().filter(|name| !known.contains(name)) {
            let near = match nearest(name, known.iter().copied()).first() {
                Some(near) => format!("; did you mean `{{{near}}}`?"),
                None => String::new(),
            };
            mistakes.push(format!(
                "{at}: found the parameter {{{name}}}, expected one of {}: {}{near}",
                function.name,
                list(&known)
            ));
            fits = false;
        }
        fits.then(|| Route {
            method: wish.method.clone(),
            path: wish.pattern.to_string(),
            function: Some(index),
            pattern: wish.pattern.clone(),
        })
    }

    /// A route of a task of streams, which leads to the whole task.
    fn whole_route(&self, wish: &Wish, at: &str, mistakes: &mut Vec<String>) -> Option<Route> {
        if let Some(function) = &wish.function {
            let kind = self.prepared.kind.as_str();
            mistakes.push(format!(
                "{at}: found function {function:?}, but a task of kind {kind} has no functions; remove the key"
            ));
            return None;
        }
        Some(Route {
            method: wish.method.clone(),
            path: wish.pattern.to_string(),
            function: None,
            pattern: wish.pattern.clone(),
        })
    }

    fn check_printed(&self, mistakes: &mut Vec<String>) {
        let kind = self.prepared.kind;
        if self.manifest.printed != Printed::Sniffed && kind != Kind::Command {
            mistakes.push(format!(
                "interface and content_type are for commands, and this is of kind {}; remove them",
                kind.as_str()
            ));
        }
    }

    fn check_notes(&self, mistakes: &mut Vec<String>) {
        for (name, notes) in &self.manifest.notes.functions {
            let mut named = self
                .prepared
                .functions
                .iter()
                .filter(|f| f.name == *name || f.full_name() == *name)
                .peekable();
            if named.peek().is_none() && !self.prepared.hidden.iter().any(|hidden| hidden.name == *name) {
                let known: Vec<&str> = self.prepared.functions.iter().map(|f| f.name.as_str()).collect();
                let near = match nearest(name, known.iter().copied()).first() {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                mistakes.push(format!(
                    "functions.{name}: the module has no such function, expected one of {}{near}",
                    list(&known)
                ));
            }
            if notes.params.is_empty() {
                continue;
            }
            if self.prepared.kind != Kind::CoreModule {
                mistakes.push(format!(
                    "functions.{name}.params: a component names its parameters itself; remove the key"
                ));
            } else if let Some(function) = named.find(|f| f.params.len() < notes.params.len()) {
                mistakes.push(format!(
                    "functions.{name}.params: found {} names, expected at most {}: {}",
                    notes.params.len(),
                    function.params.len(),
                    function.signature()
                ));
            }
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "(there are none)".to_owned() } else { names.join(", ") }
}
