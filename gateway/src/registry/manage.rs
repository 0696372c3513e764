//! Changes from outside: a task is put or deleted as a whole, or nothing happens.
//!
//! Owns the thread that makes them, one after another, so that two callers never write at once. A module
//! is prepared and tied to its manifest before a file is touched, by the steps that the folder's own
//! files go through; then it is written beside the old one and renamed. From there on `watch.rs` finds
//! it as it finds any file, and takes the prepared module instead of making it again. Who may ask is
//! not known here.

use super::compile::COMPILE_NICE;
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::scan::{self, ReadError, Seen};
use super::slots::{module_stamp, read_manifest};
use super::task::{Parts, Task};
use super::{Loader, Published, Settings};
use crate::error::{Error, Kind, LoadError};
use crate::limits::{self, Limits};
use crate::runtime::{Notes, Prepared};
use crate::task::TaskName;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use unblock_pool::Share;

/// Changes that may wait for the one under way: each holds its module in memory.
const WAITING_MAX: usize = 4;

/// How long a change waits until it is seen to serve. It only has to be noticed: the module is prepared.
const SERVE_WAIT_MAX: Duration = Duration::from_secs(60);

/// How often that is looked at.
const SERVE_POLL: Duration = Duration::from_millis(5);

/// A wish.
pub struct Change {
    /// Of which task.
    pub name: TaskName,
    /// What is to become of it.
    pub what: What,
    /// What it must be for that.
    pub condition: Condition,
}

/// What is to become of a task.
pub enum What {
    /// These are its files; the one that is not given stays. One of both is there.
    Put {
        /// The module.
        module: Option<Module>,
        /// The manifest's text.
        manifest: Option<Bytes>,
    },
    /// It goes, with its manifest.
    Delete,
}

/// A module to be put.
pub struct Module {
    /// The file's content.
    pub bytes: Bytes,
    /// Whether it is WebAssembly text.
    pub text: bool,
}

/// What a task must be for a change to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    Any,
    /// Not there.
    Absent,
    /// There, in whatever state.
    Present,
    /// The version that has one of these tags serves.
    Tags(Vec<String>),
}

/// What was changed.
pub struct Changed {
    /// Whether there was no such task before.
    pub created: bool,
    /// The tag of the version that served before.
    pub before: Option<String>,
    /// What serves now; `None` after a deletion.
    pub task: Option<Arc<Task>>,
}

type Reply = oneshot::Sender<Result<Changed, Error>>;

/// The thread. Dropped, it ends and is joined, unless it is preparing a module, which cannot be cancelled.
pub struct Manager {
    wishes: Option<SyncSender<(Change, Reply)>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    closing: AtomicBool,
    preparing: AtomicBool,
}

impl Manager {
    /// Starts the thread. `touch` tells the watcher of files that were written.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(
        settings: Settings,
        stash: Arc<Stash>,
        published: Arc<Published>,
        touch: impl Fn(Vec<String>) + Send + 'static,
    ) -> io::Result<Self> {
        let (wishes, inbox) = sync_channel(WAITING_MAX);
        let state = Arc::new(State::default());
        let life = Life { settings, stash, published, touch: Box::new(touch), state: Arc::clone(&state) };
        let thread = thread::Builder::new().name("manage".to_owned()).spawn(move || life.live(&inbox))?;
        Ok(Self { wishes: Some(wishes), thread: Some(thread), state })
    }

    /// Hands a wish in. It is fulfilled, or not, whether or not somebody waits for the answer.
    ///
    /// # Errors
    /// `queue-full`, `draining`.
    pub fn wish(&self, change: Change) -> Result<oneshot::Receiver<Result<Changed, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(Kind::Draining, "the gateway is shutting down");
        let wishes = self.wishes.as_ref().ok_or_else(gone)?;
        match wishes.try_send((change, reply)) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(Error::new(
                Kind::QueueFull,
                format!("{WAITING_MAX} changes of tasks are waiting already; try again later"),
            )),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::Relaxed);
        self.wishes = None;
        if let Some(thread) = self.thread.take()
            && !self.state.preparing.load(Ordering::Relaxed)
        {
            let _ = thread.join();
        }
    }
}

/// A loader that need not prepare a module which a change has prepared already.
pub struct Stash {
    inner: Arc<dyn Loader>,
    made: Mutex<Option<Made>>,
}

struct Made {
    digest: [u8; 32],
    notes: Notes,
    prepared: Prepared,
}

impl Stash {
    /// A loader around another.
    #[must_use]
    pub fn new(inner: Arc<dyn Loader>) -> Self {
        Self { inner, made: Mutex::new(None) }
    }

    fn put(&self, made: Option<Made>) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }

    fn take(&self, bytes: &[u8], notes: &Notes) -> Option<Prepared> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |made: &mut Made| made.notes == *notes && made.digest == <[u8; 32]>::from(Sha256::digest(bytes));
        made.take_if(fits).map(|made| made.prepared)
    }
}

impl Loader for Stash {
    fn prepare(&self, bytes: &[u8], notes: &Notes) -> Result<Prepared, LoadError> {
        match self.take(bytes, notes) {
            Some(prepared) => Ok(prepared),
            None => self.inner.prepare(bytes, notes),
        }
    }

    fn share(&self, name: &TaskName, limits: &Limits) -> Share {
        self.inner.share(name, limits)
    }
}

/// The files of a name, as they lie there.
struct Held {
    modules: Vec<(String, Seen)>,
    manifest: Option<(String, Seen)>,
}

impl Held {
    fn any(&self) -> bool {
        !self.modules.is_empty() || self.manifest.is_some()
    }
}

struct Life {
    settings: Settings,
    stash: Arc<Stash>,
    published: Arc<Published>,
    touch: Box<dyn Fn(Vec<String>) + Send>,
    state: Arc<State>,
}

impl Life {
    fn live(&self, inbox: &Receiver<(Change, Reply)>) {
        // Not allowed to: it goes on all the same.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), COMPILE_NICE);
        while let Ok((change, reply)) = inbox.recv() {
            let result = catch_unwind(AssertUnwindSafe(|| self.fulfil(&change)))
                .unwrap_or_else(|_| Err(Error::internal(anyhow::anyhow!("changing a task panicked"))));
            self.stash.put(None);
            self.state.preparing.store(false, Ordering::Relaxed);
            // Whoever asked may have gone.
            let _ = reply.send(result);
        }
    }

    fn fulfil(&self, change: &Change) -> Result<Changed, Error> {
        let name = &change.name;
        let held = self.held(name);
        let serving = self.published.snapshot.load().tasks.get(name).map(Arc::clone);
        let before = serving.as_ref().map(|task| task.tag.clone());
        let there = serving.is_some() || held.any();
        check(&change.condition, there, before.as_deref())?;
        match &change.what {
            What::Delete if !there => {
                Err(Error::new(Kind::UnknownTask, format!("found no task {name:?}, so nothing was deleted")))
            }
            What::Delete => {
                self.delete(&held).map_err(written)?;
                self.until(|| {
                    let snapshot = self.published.snapshot.load();
                    !snapshot.tasks.contains_key(name)
                        && !snapshot.loading.iter().any(|loading| loading == name.as_str())
                })?;
                Ok(Changed { created: false, before, task: None })
            }
            What::Put { module, manifest } => {
                let tag = self.put(name, &held, module.as_ref(), manifest.as_ref())?;
                let mut task = None;
                self.until(|| {
                    task = self
                        .published
                        .snapshot
                        .load()
                        .tasks
                        .get(name)
                        .filter(|task| task.tag == tag)
                        .cloned();
                    task.is_some()
                })?;
                Ok(Changed { created: !there, before, task })
            }
        }
    }

    fn held(&self, name: &TaskName) -> Held {
        let look = |extension: &str| {
            let file = format!("{name}.{extension}");
            scan::list_one(&self.settings.tasks, &file).map(|entry| (file, entry.seen))
        };
        Held {
            modules: scan::MODULES.iter().filter_map(|one| look(one)).collect(),
            manifest: look(scan::MANIFEST),
        }
    }

    /// Judges a task as it would be, then writes it. Returns its tag.
    fn put(
        &self,
        name: &TaskName,
        held: &Held,
        module: Option<&Module>,
        manifest: Option<&Bytes>,
    ) -> Result<String, Error> {
        let manifest_file = format!("{name}.{}", scan::MANIFEST);
        let settings = match (manifest, &held.manifest) {
            (Some(text), _) => parsed(&manifest_file, text).map_err(refused)?,
            (None, Some((file, seen))) => read_manifest(&self.settings.tasks, file, seen).map_err(unread)?,
            (None, None) => Manifest::default(),
        };
        let (file, bytes) = match module {
            Some(module) => {
                let extension = if module.text { "wat" } else { "wasm" };
                let file = format!("{name}.{extension}");
                fits(&file, module.bytes.len() as u64, self.settings.module_bytes_max).map_err(refused)?;
                (file, module.bytes.clone())
            }
            None => self.module_of(name, held)?,
        };
        self.rivals(name, &settings).map_err(refused)?;
        self.state.preparing.store(true, Ordering::Relaxed);
        let prepared = self.stash.inner.prepare(&bytes, &settings.notes).map_err(refused)?;
        let parts = Parts {
            name,
            file: &file,
            prepared: Arc::new(prepared),
            manifest: &settings,
            settings: &self.settings,
            folder: &self.settings.tasks,
        };
        let task = parts.assemble(None, &*self.stash).map_err(refused)?;
        self.state.preparing.store(false, Ordering::Relaxed);
        let tag = task.tag.clone();
        let prepared = Arc::clone(&task.prepared);
        drop(task);
        if let Some(prepared) = Arc::into_inner(prepared) {
            let digest = Sha256::digest(&bytes).into();
            self.stash.put(Some(Made { digest, notes: settings.notes.clone(), prepared }));
        }
        let mut files = Vec::new();
        if let Some(text) = manifest {
            files.push((manifest_file, text));
        }
        if module.is_some() {
            files.push((file, &bytes));
        }
        self.write(&files, held, module.is_some()).map_err(written)?;
        Ok(tag)
    }

    /// The module that lies there.
    fn module_of(&self, name: &TaskName, held: &Held) -> Result<(String, Bytes), Error> {
        match held.modules.as_slice() {
            [(file, seen)] => {
                let stamp = module_stamp(file, seen, self.settings.module_bytes_max).map_err(refused)?;
                let bytes = scan::read(&self.settings.tasks.join(file), stamp).map_err(unread)?;
                Ok((file.clone(), bytes.into()))
            }
            [] => Err(refused(LoadError::new(
                format!("found a manifest for {name}, which has no module yet"),
                "put the module first, or both in one form with the parts module and manifest",
            ))),
            _ => Err(refused(LoadError::new(
                format!("found two modules of the name {name} in the tasks folder, expected one"),
                "put a module, which takes the place of both",
            ))),
        }
    }

    /// Refuses routes that another task has. The watcher looks again, at what is wanted by then.
    fn rivals(&self, name: &TaskName, manifest: &Manifest) -> Result<(), LoadError> {
        let snapshot = self.published.snapshot.load();
        let others = || snapshot.tasks.values().filter(|task| task.name != *name);
        let taken = |method: &str, key: &str| {
            others().find(|task| {
                task.routes.iter().any(|route| route.method == method && route.pattern.key() == key)
            })
        };
        let rivals: Vec<String> = manifest
            .routes
            .iter()
            .filter_map(|wish| {
                let other = taken(&wish.method, &wish.pattern.key())?;
                let (line, method, pattern) = (wish.line, &wish.method, &wish.pattern);
                Some(format!("line {line}: route {method} {pattern} is already that of {}", other.name))
            })
            .collect();
        if rivals.is_empty() {
            return Ok(());
        }
        Err(LoadError::new(
            format!("{name} claims what another task has:\n  {}", rivals.join("\n  ")),
            "change or remove the route in one of both manifests",
        ))
    }

    /// Writes files beside their places, then moves them there, the module last.
    fn write(&self, files: &[(String, &Bytes)], held: &Held, new_module: bool) -> io::Result<()> {
        let folder = &self.settings.tasks;
        let mut moves: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut written = Ok(());
        for (name, bytes) in files {
            // Hidden, and with an extension of no module: it is never looked at.
            let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
            moves.push((beside.clone(), folder.join(name)));
            written = written.and_then(|()| write_new(&beside, bytes));
        }
        for (beside, place) in &moves {
            written = written.and_then(|()| fs::rename(beside, place));
        }
        if written.is_err() {
            for (beside, _) in &moves {
                // Moved already, or nobody needs it.
                let _ = fs::remove_file(beside);
            }
            return written;
        }
        let mut touched: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        if new_module {
            // A module of the other form under the same name would make two.
            let others = held.modules.iter().map(|(file, _)| file);
            let others: Vec<String> = others.filter(|file| !touched.contains(file)).cloned().collect();
            for other in others {
                fs::remove_file(folder.join(&other))?;
                touched.push(other);
            }
        }
        // So that a power cut leaves the old one or the new one.
        File::open(folder)?.sync_all()?;
        (self.touch)(touched);
        Ok(())
    }

    fn delete(&self, held: &Held) -> io::Result<()> {
        // The module first: without its manifest it would serve under other limits for a moment.
        let files = held.modules.iter().chain(&held.manifest);
        let mut touched = Vec::new();
        for (file, _) in files {
            match fs::remove_file(self.settings.tasks.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => touched.push(file.clone()),
            }
        }
        File::open(&self.settings.tasks)?.sync_all()?;
        (self.touch)(touched);
        Ok(())
    }

    fn until(&self, mut seen: impl FnMut() -> bool) -> Result<(), Error> {
        let begun = Instant::now();
        while !seen() {
            if self.state.closing.load(Ordering::Relaxed) {
                return Err(Error::new(
                    Kind::Draining,
                    "the files were changed, and the gateway is shutting down",
                ));
            }
            if begun.elapsed() > SERVE_WAIT_MAX {
                return Err(Error::new(
                    Kind::Loading,
                    "the files were changed, but what they hold does not serve yet; GET /tasks tells",
                ));
            }
            thread::sleep(SERVE_POLL);
        }
        Ok(())
    }
}

fn write_new(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    // What an end at the wrong moment left there is nobody's.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn check(condition: &Condition, there: bool, tag: Option<&str>) -> Result<(), Error> {
    let failed = |expected: &str| {
        let found = match tag {
            Some(tag) => format!("one with the tag \"{tag}\""),
            None if there => "one that does not serve".to_owned(),
            None => "no such task".to_owned(),
        };
        Err(Error::new(Kind::PreconditionFailed, format!("found {found}, expected {expected}")))
    };
    match condition {
        Condition::Absent if there => failed("none, as If-None-Match: * says"),
        Condition::Present if !there => failed("one, as If-Match: * says"),
        Condition::Tags(tags) if !tags.iter().any(|one| Some(one.as_str()) == tag) => {
            failed("one with a tag that If-Match names")
        }
        _ => Ok(()),
    }
}

fn parsed(file: &str, text: &[u8]) -> Result<Manifest, LoadError> {
    fits(file, text.len() as u64, MANIFEST_BYTES_MAX)?;
    Manifest::parse(file, text)
}

fn fits(file: &str, found: u64, most: u64) -> Result<(), LoadError> {
    if found <= most {
        return Ok(());
    }
    let (found, most) = (limits::bytes(found), limits::bytes(most));
    Err(LoadError::new(format!("{file} has {found}, expected at most {most}"), "make it smaller"))
}

fn refused(error: LoadError) -> Error {
    let error = error.bounded();
    let mut refused = Error::new(Kind::RefusedModule, error.reason);
    refused.hints = error.remedies;
    refused
}

fn unread(error: ReadError) -> Error {
    match error {
        ReadError::Failed(error) => refused(error),
        ReadError::Changed => {
            Error::new(Kind::PreconditionFailed, "the task's files were changed meanwhile; look at it again")
        }
    }
}

fn written(error: io::Error) -> Error {
    Error::internal(anyhow::Error::new(error).context("writing into the tasks folder"))
}
