//! Per name: what serves, what is wanted, what failed.
//!
//! Owns the decisions: settled files become jobs, finished jobs become versions, and whatever goes
//! wrong leaves the version that serves alone and is listed. It starts no thread and reads nothing
//! but manifests, which are small. Who calls it when is the matter of `watch.rs`.
//!
//! A slot's `judged` files are those the last decision was made for; with `wanted` a job is queued
//! or out for them, and a job whose ticket is not the wanted one comes too late and is dropped.

use super::compile::{Done, FileDigest, Job, Made};
use super::loads::Counts;
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::routes::{Pattern, Table};
use super::scan::{self, Group, ReadError, Seen, Settler, Stamp, View};
use super::task::{Parts, Task};
use super::{Failure, Loader, Published, Settings, Snapshot};
use crate::error::LoadError;
use crate::limits;
use crate::runtime::Prepared;
use crate::task::TaskName;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// All names there are.
pub struct Slots {
    settings: Settings,
    loader: Arc<dyn Loader>,
    published: Arc<Published>,
    slots: BTreeMap<String, Slot>,
    /// Jobs to hand out, the smallest file first: small tasks serve while a large one compiles.
    queue: BTreeSet<(u64, String, u64)>,
    last_ticket: u64,
    folder: Option<LoadError>,
    changed: bool,
    /// A route has become free, so those that were refused one are judged again.
    released: bool,
}

#[derive(Default)]
struct Slot {
    serving: Option<Serving>,
    failure: Option<Failure>,
    judged: Option<View>,
    wanted: Option<Wanted>,
    /// It was refused a route that another task has.
    rival: bool,
}

struct Serving {
    task: Arc<Task>,
    source: Source,
    digest: FileDigest,
}

/// The files of a version.
#[derive(Clone)]
struct Source {
    file: String,
    stamp: Stamp,
    manifest_file: Option<String>,
    manifest: Manifest,
}

struct Wanted {
    ticket: u64,
    name: TaskName,
    source: Source,
}

/// Who has which route: method and numbered pattern → task and the file that says so.
type Claims = HashMap<(String, String), (String, String)>;

/// What is to be done about a slot's files.
enum Verdict {
    /// They were touched since: wait until this file lies still again.
    Disturbed(String),
    /// They cannot be served; what serves stays.
    Keep(String, LoadError),
    /// They cannot be served, and what they were is gone.
    Remove(String, LoadError),
    /// Another task has a route they want.
    Rival(String, LoadError),
    /// They make a version.
    Load(TaskName, Box<Source>),
}

impl Slots {
    /// Without names.
    pub fn new(settings: Settings, loader: Arc<dyn Loader>, published: Arc<Published>) -> Self {
        Self {
            settings,
            loader,
            published,
            slots: BTreeMap::new(),
            queue: BTreeSet::new(),
            last_ticket: 0,
            folder: None,
            changed: false,
            released: false,
        }
    }

    /// Whether no job is queued; one may be out.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether anything serves.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.slots.values().any(|slot| slot.serving.is_some())
    }

    /// Whether [`Slots::judge`] has something to do although no file moved.
    #[must_use]
    pub fn wants_judging(&self) -> bool {
        self.released
    }

    /// Makes all that failed be judged again; returns those stems.
    pub fn retry_failures(&mut self) -> Vec<String> {
        let failed = self.slots.iter_mut().filter(|(_, slot)| slot.failure.is_some());
        failed
            .map(|(stem, slot)| {
                slot.judged = None;
                stem.clone()
            })
            .collect()
    }

    /// The folder can or cannot be read. What serves goes on.
    pub fn folder(&mut self, error: Option<LoadError>) {
        if self.folder == error {
            return;
        }
        match &error {
            Some(error) => {
                tracing::warn!(reason = %error, "tasks folder unreadable, what is loaded keeps serving: {error}");
            }
            None => tracing::info!("tasks folder readable again"),
        }
        self.folder = error;
        self.changed = true;
    }

    /// Decides about those of `stems`, and of the tasks that were refused a route, whose files lie
    /// still and are not the judged ones. Returns the files that were touched meanwhile and must
    /// settle again.
    pub fn judge(&mut self, mut stems: BTreeSet<String>, settler: &Settler) -> Vec<String> {
        let released = std::mem::take(&mut self.released);
        let mut groups = Vec::with_capacity(stems.len());
        if released {
            stems.extend(self.slots.iter().filter(|(_, slot)| slot.rival).map(|(stem, _)| stem.clone()));
        }
        for stem in stems {
            match settler.group(&stem) {
                None => self.remove(&stem),
                Some(Group::Moving) => {}
                Some(Group::Still(view)) => groups.push((stem, view)),
            }
        }
        let mut claims = None;
        let mut disturbed = Vec::new();
        for (stem, view) in &groups {
            let slot = self.slots.entry(stem.clone()).or_default();
            if slot.judged.as_ref() == Some(view) && !(slot.rival && released) {
                continue;
            }
            let claims = claims.get_or_insert_with(|| self.claims());
            let verdict = self.verdict(stem, view, claims);
            if let Verdict::Load(_, source) = &verdict {
                for wish in &source.manifest.routes {
                    claims
                        .entry((wish.method.clone(), wish.pattern.key()))
                        .or_insert_with(|| (stem.clone(), source.settings_file().to_owned()));
                }
            }
            self.act(stem, view, verdict, &mut disturbed);
        }
        disturbed
    }

    fn act(&mut self, stem: &str, view: &View, verdict: Verdict, disturbed: &mut Vec<String>) {
        let ticket = self.last_ticket + 1;
        let counts = &self.published.loads;
        let Some(slot) = self.slots.get_mut(stem) else { return };
        // Whatever was decided before is void, and with it the routes it would have had.
        self.released |= slot.wanted.take().is_some_and(|wanted| !wanted.source.manifest.routes.is_empty());
        slot.rival = matches!(verdict, Verdict::Rival(..));
        slot.judged = match verdict {
            Verdict::Disturbed(_) => None,
            _ => Some(view.clone()),
        };
        match verdict {
            Verdict::Disturbed(file) => disturbed.push(file),
            Verdict::Keep(file, error) | Verdict::Rival(file, error) => {
                self.changed |= slot.fail(stem, file, error, counts)
            }
            Verdict::Remove(file, error) => {
                self.released |= slot.stop_serving(counts);
                self.changed |= slot.fail(stem, file, error, counts);
            }
            Verdict::Load(name, source) => {
                let unmoved = slot.serving.as_ref().filter(|serving| {
                    serving.source.same_module(&source)
                        && serving.source.manifest.notes == source.manifest.notes
                });
                if let Some(serving) = unmoved {
                    let (prepared, digest) = (Arc::clone(&serving.task.prepared), serving.digest);
                    self.put(stem, &name, *source, prepared, digest, None);
                } else {
                    self.last_ticket = ticket;
                    self.queue.insert((source.stamp.size_bytes, stem.to_owned(), ticket));
                    self.changed |= slot.serving.is_none();
                    slot.wanted = Some(Wanted { ticket, name, source: *source });
                }
            }
        }
    }

    fn verdict(&self, stem: &str, view: &View, claims: &Claims) -> Verdict {
        let name = match TaskName::new(stem) {
            Ok(name) => name,
            Err(message) => return Verdict::Keep(view.first_file(), bad_name(stem, message)),
        };
        let (file, seen) = match (view.modules.as_slice(), &view.manifest) {
            ([one], _) => one,
            ([], manifest) => {
                let file = manifest.as_ref().map_or_else(|| format!("{stem}.toml"), |(file, _)| file.clone());
                let error = LoadError::new(
                    format!(
                        "{file} is a manifest without its module: expected {stem}.wasm or {stem}.wat beside it"
                    ),
                    "build it: just build-tasks, or remove the manifest",
                );
                return Verdict::Remove(file, error);
            }
            (several, _) => {
                let files: Vec<&str> = several.iter().map(|(file, _)| file.as_str()).collect();
                let error = LoadError::new(
                    format!("{} would all be the task {stem:?}: expected one module", files.join(" and ")),
                    "remove or rename all but one",
                );
                return Verdict::Keep(files.join(", "), error);
            }
        };
        let stamp = match module_stamp(file, seen, self.settings.module_bytes_max) {
            Ok(stamp) => stamp,
            Err(error) => return Verdict::Keep(file.clone(), error),
        };
        let manifest_file = view.manifest.as_ref().map(|(file, _)| file.clone());
        let manifest = match view
            .manifest
            .as_ref()
            .map(|(file, seen)| (file, read_manifest(&self.settings.tasks, file, seen)))
        {
            None => Manifest::default(),
            Some((_, Ok(manifest))) => manifest,
            Some((file, Err(ReadError::Changed))) => return Verdict::Disturbed(file.clone()),
            Some((file, Err(ReadError::Failed(error)))) => return Verdict::Keep(file.clone(), error),
        };
        let source = Source { file: file.clone(), stamp, manifest_file, manifest };
        match source.rivals(stem, claims) {
            Some(error) => Verdict::Rival(source.settings_file().to_owned(), error),
            None => Verdict::Load(name, Box::new(source)),
        }
    }

    /// The routes that are served, and those of the jobs on their way.
    fn claims(&self) -> Claims {
        let mut claims = Claims::new();
        for (stem, slot) in &self.slots {
            let served = slot.serving.iter().flat_map(|serving| {
                serving.task.routes.iter().map(|route| (&route.method, &route.pattern, &serving.source))
            });
            let wanted = slot.wanted.iter().flat_map(|wanted| {
                wanted.source.manifest.routes.iter().map(|wish| (&wish.method, &wish.pattern, &wanted.source))
            });
            for (method, pattern, source) in served.chain(wanted) {
                claims
                    .entry((method.clone(), pattern.key()))
                    .or_insert_with(|| (stem.clone(), source.settings_file().to_owned()));
            }
        }
        claims
    }

    /// The next job to hand out.
    pub fn next_job(&mut self) -> Option<Job> {
        while let Some((_, stem, ticket)) = self.queue.pop_first() {
            let Some(slot) = self.slots.get(&stem) else { continue };
            let Some(wanted) = slot.wanted.as_ref().filter(|wanted| wanted.ticket == ticket) else {
                continue;
            };
            let same_notes =
                |serving: &&Serving| serving.source.manifest.notes == wanted.source.manifest.notes;
            return Some(Job {
                ticket,
                path: self.settings.tasks.join(&wanted.source.file),
                stamp: wanted.source.stamp,
                notes: wanted.source.manifest.notes.clone(),
                known: slot.serving.as_ref().filter(same_notes).map(|serving| serving.digest),
                stem,
            });
        }
        None
    }

    /// Takes a finished job. Returns the file that was touched meanwhile, if so.
    pub fn take(&mut self, done: Done) -> Option<String> {
        let slot = self.slots.get_mut(&done.stem)?;
        let wanted = slot.wanted.take_if(|wanted| wanted.ticket == done.ticket)?;
        let counts = &self.published.loads;
        if matches!(done.result, Ok(Made::New(..)) | Err(ReadError::Failed(_))) {
            counts.prepared(done.took);
        }
        match done.result {
            Ok(Made::New(prepared, digest)) => {
                let prepared = Arc::new(*prepared);
                self.put(&done.stem, &wanted.name, wanted.source, prepared, digest, Some(done.took));
            }
            Ok(Made::Same) => {
                // The known content was that of the serving version, which only a put replaces.
                let serving = slot.serving.as_ref()?;
                let (prepared, digest) = (Arc::clone(&serving.task.prepared), serving.digest);
                self.put(&done.stem, &wanted.name, wanted.source, prepared, digest, None);
            }
            Err(error) => {
                self.released |= !wanted.source.manifest.routes.is_empty();
                match error {
                    ReadError::Changed => {
                        slot.judged = None;
                        return Some(wanted.source.file);
                    }
                    ReadError::Failed(error) => {
                        self.changed |= slot.fail(&done.stem, wanted.source.file, error, counts)
                    }
                }
            }
        }
        None
    }

    /// Makes a version serve. `took` is how long its module was prepared, if it was.
    fn put(
        &mut self,
        stem: &str,
        name: &TaskName,
        source: Source,
        prepared: Arc<Prepared>,
        digest: FileDigest,
        took: Option<Duration>,
    ) {
        let Some(slot) = self.slots.get_mut(stem) else { return };
        let counts = &self.published.loads;
        if let Some(serving) = &mut slot.serving
            && Arc::ptr_eq(&serving.task.prepared, &prepared)
            && serving.source.manifest.same_settings(&source.manifest)
        {
            // Only touched, or put back to what serves.
            serving.source = source;
            self.changed |= slot.failure.take().is_some();
            return;
        }
        let parts = Parts {
            name,
            file: &source.file,
            prepared,
            manifest: &source.manifest,
            settings: &self.settings,
            folder: &self.settings.tasks,
        };
        let previous = slot.serving.as_ref().map(|serving| &*serving.task);
        match parts.assemble(previous, &*self.loader) {
            Ok(task) => {
                let did = if previous.is_some() {
                    counts.replaced();
                    "replaced"
                } else {
                    counts.loaded();
                    "loaded"
                };
                let elapsed_ms = u64::try_from(took.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(
                    task.name = %name, task.digest = %task.prepared.digest, elapsed_ms,
                    "task {} {did} in {elapsed_ms} ms", task.version()
                );
                for warning in &task.warnings {
                    tracing::warn!(task.name = %name, "task {name}: {warning}");
                }
                self.released |= slot.stop_serving_silently();
                slot.serving = Some(Serving { task: Arc::new(task), source, digest });
                slot.failure = None;
                self.changed = true;
            }
            Err(error) => {
                self.released |= !source.manifest.routes.is_empty();
                let file = source.settings_file().to_owned();
                self.changed |= slot.fail(stem, file, error, counts);
            }
        }
    }

    fn remove(&mut self, stem: &str) {
        if let Some(mut slot) = self.slots.remove(stem) {
            self.released |= slot.stop_serving(&self.published.loads) || slot.wanted.is_some();
            self.changed = true;
        }
    }

    /// A snapshot, if anything changed since the last one.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut snapshot = Snapshot::default();
        if let Some(error) = &self.folder {
            let file = self.settings.tasks.display().to_string();
            snapshot.failures.push(Failure { file, task: None, error: error.clone(), serving: None });
        }
        for slot in self.slots.values() {
            if let (None, Some(wanted)) = (&slot.serving, &slot.wanted) {
                snapshot.loading.push(wanted.name.to_string());
            }
            if let Some(serving) = &slot.serving {
                snapshot.tasks.insert(serving.task.name.clone(), Arc::clone(&serving.task));
            }
            snapshot.failures.extend(slot.failure.clone().map(|failure| Failure {
                serving: slot.serving.as_ref().map(|serving| serving.task.version()),
                ..failure
            }));
        }
        let routes = snapshot.tasks.values().flat_map(|task| {
            task.routes
                .iter()
                .map(|route| (&task.name, route.method.as_str(), &route.pattern, route.function))
        });
        let (table, left_out) = Table::build(routes);
        for route in left_out {
            tracing::error!("route left out, which is a fault of the gateway: {route}");
        }
        snapshot.routes = table;
        Some(snapshot)
    }
}

impl Slot {
    /// Lists a failure; returns whether it is news.
    fn fail(&mut self, stem: &str, file: String, error: LoadError, counts: &Counts) -> bool {
        let task = TaskName::new(stem).is_ok().then(|| stem.to_owned());
        let serving = self.serving.as_ref().map(|serving| serving.task.version());
        let failure = Failure { file, task, error, serving };
        if self.failure.as_ref() == Some(&failure) {
            return false;
        }
        counts.failed();
        let digest = self.serving.as_ref().map_or("", |serving| &serving.task.prepared.digest);
        match &failure.serving {
            Some(version) => tracing::warn!(
                task.name = stem,
                task.digest = digest,
                "{} failed to load, {version} keeps serving: {}",
                failure.file,
                failure.error
            ),
            None => tracing::warn!(task.name = stem, "{} failed to load: {}", failure.file, failure.error),
        }
        self.failure = Some(failure);
        true
    }

    /// Returns whether routes became free.
    fn stop_serving(&mut self, counts: &Counts) -> bool {
        if let Some(serving) = &self.serving {
            counts.removed();
            let task = &serving.task;
            tracing::info!(
                task.name = %task.name, task.digest = %task.prepared.digest,
                "task {} removed", task.version()
            );
        }
        self.stop_serving_silently()
    }

    fn stop_serving_silently(&mut self) -> bool {
        self.serving.take().is_some_and(|serving| !serving.task.routes.is_empty())
    }
}

impl View {
    fn first_file(&self) -> String {
        let all = self.modules.iter().chain(&self.manifest);
        all.map(|(file, _)| file.clone()).next().unwrap_or_default()
    }
}

impl Source {
    fn same_module(&self, other: &Self) -> bool {
        self.file == other.file && self.stamp == other.stamp
    }

    /// The file that routes and limits are changed in.
    fn settings_file(&self) -> &str {
        self.manifest_file.as_deref().unwrap_or(&self.file)
    }

    fn rivals(&self, stem: &str, claims: &Claims) -> Option<LoadError> {
        let rivals: Vec<String> = self
            .manifest
            .routes
            .iter()
            .filter_map(|wish| {
                let (owner, file) = claims.get(&(wish.method.clone(), wish.pattern.key()))?;
                let pattern: &Pattern = &wish.pattern;
                (owner != stem).then(|| {
                    format!("line {}: route {} {pattern} is already that of {file}", wish.line, wish.method)
                })
            })
            .collect();
        if rivals.is_empty() {
            return None;
        }
        let file = self.settings_file();
        Some(LoadError::new(
            format!("{file} claims what another task has:\n  {}", rivals.join("\n  ")),
            format!("change or remove the route in {file} or in the other manifest"),
        ))
    }
}

/// The stamp of a module that may be read, at most `max` bytes.
///
/// # Errors
/// Why it may not.
pub fn module_stamp(file: &str, seen: &Seen, max: u64) -> Result<Stamp, LoadError> {
    match seen {
        Seen::Unfit(why) => Err(LoadError::new(format!("{file} {why}"), "put a readable file there")),
        Seen::File(stamp) if stamp.size_bytes == 0 => {
            Err(LoadError::new(format!("{file} is empty"), "copy or build it again"))
        }
        Seen::File(stamp) if stamp.size_bytes > max => Err(LoadError::new(
            format!(
                "{file} has {}, expected a module of at most {}",
                limits::bytes(stamp.size_bytes),
                limits::bytes(max)
            ),
            "build it optimised and without debug information (wasm-tools strip)",
        )),
        Seen::File(stamp) => Ok(*stamp),
    }
}

/// Reads the manifest `file` of a folder.
///
/// # Errors
/// It cannot be read, has mistakes, or was touched meanwhile.
pub fn read_manifest(folder: &Path, file: &str, seen: &Seen) -> Result<Manifest, ReadError> {
    let stamp = match seen {
        Seen::Unfit(why) => {
            return Err(ReadError::Failed(LoadError::new(
                format!("{file} {why}"),
                "put a readable file there",
            )));
        }
        Seen::File(stamp) if stamp.size_bytes > MANIFEST_BYTES_MAX => {
            return Err(ReadError::Failed(LoadError::new(
                format!(
                    "{file} has {}, expected a manifest of at most {}",
                    limits::bytes(stamp.size_bytes),
                    limits::bytes(MANIFEST_BYTES_MAX)
                ),
                format!("shorten {file}"),
            )));
        }
        Seen::File(stamp) => *stamp,
    };
    let text = scan::read(&folder.join(file), stamp)?;
    Manifest::parse(file, &text).map_err(ReadError::Failed)
}

/// A name that is none, with one that would be.
pub fn bad_name(stem: &str, message: String) -> LoadError {
    let plain: String = stem
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(crate::task::NAME_BYTES_MAX)
        .collect();
    let plain = plain.trim_matches('-');
    let plain = if plain.is_empty() { "my-task" } else { plain };
    LoadError::new(message, format!("a name that fits: {plain}"))
}

/// Why the tasks folder cannot be read.
pub fn folder_error(folder: &Path, error: &io::Error) -> LoadError {
    let shown = folder.display();
    let (reason, remedy) = match error.kind() {
        io::ErrorKind::NotFound => {
            (format!("the tasks folder {shown} does not exist"), format!("create it: mkdir -p {shown}"))
        }
        io::ErrorKind::NotADirectory => {
            (format!("the tasks folder {shown} is a file"), "name a folder".to_owned())
        }
        io::ErrorKind::PermissionDenied => (
            format!("the tasks folder {shown} cannot be read: permission denied"),
            format!("let the gateway's user list it: chmod a+rx {shown}"),
        ),
        _ => (
            format!("the tasks folder {shown} cannot be read: {error}"),
            "check its disk or mount".to_owned(),
        ),
    };
    LoadError { reason, remedies: vec![remedy, "or name another folder with --tasks DIR".to_owned()] }
}

/// Why an empty folder in the place of the one that was loaded from is not believed.
pub fn emptied_error(folder: &Path) -> LoadError {
    let shown = folder.display();
    LoadError {
        reason: format!(
            "the tasks folder {shown} was replaced by an empty one, which looks like a lost mount or a \
             deployment under way; what is loaded keeps serving"
        ),
        remedies: vec![
            format!("put the modules into {shown}: from the first one on it counts"),
            "or mount it again".to_owned(),
        ],
    }
}
