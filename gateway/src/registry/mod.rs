//! Name → task: what the tasks folder holds, loaded and kept up to date while calls go on.
//!
//! Owns files and manifests, which version of a task serves, and the immutable [`Snapshot`] that
//! every request reads; it is swapped whole. A prepared module is opaque here: this layer knows
//! neither the engine's types nor requests.
//!
//! | file | owns |
//! |---|---|
//! | `scan.rs` | the folder's files, and since when each lies still |
//! | `manifest/`, `routes.rs` | the text beside a module; the table of paths |
//! | `grants.rs` | what a manifest asks for, tied to this machine |
//! | `slots.rs` | per name: what serves, what is wanted, what failed; decides, without threads |
//! | `task.rs`, `single.rs` | one version of a task; one loaded without the folder |
//! | `loads.rs` | what became of modules, counted |
//! | `compile.rs`, `watch.rs` | the two threads that load |
//! | `manage.rs` | the thread that writes files, for callers who may |

mod compile;
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod loads;
mod manage;
mod manifest;
mod routes;
mod scan;
mod single;
mod slots;
mod task;
mod watch;

#[cfg(test)]
mod tests;

pub use grants::Variable;
pub use loads::Loads;
pub use manage::{Change, Changed, Condition, Module, What};
pub use manifest::{MANIFEST_BYTES_MAX, check_guest};
pub use scan::count_modules;
pub use single::load_file;
pub use task::{Route, Task, share_limits};

use crate::error::{Error, Kind, LoadError};
use crate::grants::Grants;
use crate::limits::{Ceilings, Limits, MIB};
use crate::runtime::{Notes, Prepared};
use crate::task::TaskName;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unblock_pool::Share;

/// Longest wait of [`Registry::rescan_blocking`]: longer than any sane module takes.
const RESCAN_WAIT_MAX: Duration = Duration::from_secs(60);

/// How the registry works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tasks folder.
    pub tasks: PathBuf,
    /// The limits of a task whose manifest says nothing.
    pub defaults: Limits,
    /// What no manifest exceeds.
    pub ceilings: Ceilings,
    /// How often the folder is looked at without being told: the longest a change goes unnoticed
    /// where file events are not delivered.
    pub poll: Duration,
    /// How long a file must be unchanged before it is read.
    pub settle: Duration,
    /// Largest module, in bytes.
    pub module_bytes_max: u64,
    /// The gateway's own environment, for what manifests pass on.
    pub variable: Variable,
    /// Granted to every task, beside what its manifest asks for: the command line of a local run.
    pub grants: Grants,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tasks: PathBuf::from("tasks"),
            defaults: Limits::default(),
            ceilings: Ceilings::default(),
            poll: Duration::from_secs(1),
            settle: Duration::from_millis(150),
            module_bytes_max: 256 * MIB,
            variable: |_| None,
            grants: Grants::default(),
        }
    }
}

/// What the registry needs of the layers below, put together by `app.rs`.
pub trait Loader: Send + Sync + 'static {
    /// Makes a task of a module's bytes. Called on a thread of low priority; may take minutes.
    ///
    /// # Errors
    /// Why the module cannot be served.
    fn prepare(&self, bytes: &[u8], notes: &Notes) -> Result<Prepared, LoadError>;

    /// Opens the share of a new task. Later changes of its limits go to the share itself.
    fn share(&self, name: &TaskName, limits: &Limits) -> Share;
}

/// Something in the folder that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file, by its name in the folder; the folder itself if that cannot be read.
    pub file: String,
    /// The task it was meant for, if the name can be one.
    pub task: Option<String>,
    /// Why, and what would help.
    pub error: LoadError,
    /// The version (`name@digest`) that serves in its place.
    pub serving: Option<String>,
}

/// What is served at one moment. Immutable: a request takes one and keeps it.
#[derive(Default)]
pub struct Snapshot {
    /// The tasks, by name.
    pub tasks: BTreeMap<TaskName, Arc<Task>>,
    /// What could not be loaded: the folder itself first, then by name.
    pub failures: Vec<Failure>,
    /// Names of tasks whose first version is being compiled.
    pub loading: Vec<String>,
    routes: routes::Table,
}

/// The answer of [`Snapshot::route`].
pub enum RouteMatch {
    /// A manifest's route.
    Found {
        /// The task.
        task: Arc<Task>,
        /// Index of the function in its [`Prepared::functions`]; `None` for a task of streams.
        function: Option<usize>,
        /// The route's path, with `{parameters}`.
        path: Arc<str>,
        /// The path's parameters, percent-decoded, in order.
        pairs: Vec<(String, String)>,
    },
    /// The path is served with other methods.
    MethodNotAllowed {
        /// Those, sorted; HEAD is among them where GET is. OPTIONS is not: it is the server's.
        allow: Vec<String>,
    },
    /// No task has such a route.
    None,
}

impl Snapshot {
    /// The task of that name.
    ///
    /// # Errors
    /// `loading` while its first version is compiled, `bad-module` with reason and remedy if its file is there but could not be loaded, else
    /// `unknown-task` with the nearest names.
    pub fn task(&self, name: &str) -> Result<&Arc<Task>, Error> {
        if let Some(task) = self.tasks.get(name) {
            return Ok(task);
        }
        if self.loading.iter().any(|loading| loading == name) {
            return Err(Error::new(
                Kind::Loading,
                format!("the module of {name:?} is being compiled; try again"),
            ));
        }
        if let Some(failure) = self.failures.iter().find(|failure| failure.task.as_deref() == Some(name)) {
            return Err(Error::new(Kind::BadModule, failure.error.to_string()));
        }
        let known = self.tasks.keys().map(TaskName::as_str);
        let mut error = Error::new(Kind::UnknownTask, String::new()).nearest(name, known);
        error.detail = match error.nearest.as_slice() {
            [] => format!("found no task {name:?}; GET /tasks lists those that are loaded"),
            near => format!("found no task {name:?}; did you mean {}?", near.join(" or ")),
        };
        Err(error)
    }

    /// The manifest route that serves a request; `path` as it stands in the URL, without query.
    /// A request for HEAD is served by the route for GET.
    pub fn route(&self, method: &str, path: &str) -> RouteMatch {
        match self.routes.find(method, path) {
            routes::Found::Nothing => RouteMatch::None,
            routes::Found::OtherMethods(allow) => RouteMatch::MethodNotAllowed { allow },
            routes::Found::Route(target, pairs) => match self.tasks.get(&target.task) {
                Some(task) => RouteMatch::Found {
                    task: Arc::clone(task),
                    function: target.function,
                    path: Arc::clone(&target.path),
                    pairs,
                },
                None => RouteMatch::None,
            },
        }
    }
}

/// The tasks folder, kept loaded. Dropped, it stops its threads and waits for them; only a
/// compilation under way is abandoned.
pub struct Registry {
    published: Arc<Published>,
    // Before the watcher, which it waits for.
    manager: manage::Manager,
    watcher: watch::Watcher,
    module_bytes_max: u64,
}

/// What the threads write and everybody reads.
#[derive(Default)]
struct Published {
    snapshot: ArcSwap<Snapshot>,
    ready: AtomicBool,
    loads: loads::Counts,
}

impl Registry {
    /// Opens the folder and starts loading: returns at once, tasks appear as they become ready.
    ///
    /// # Errors
    /// When the folder is missing or cannot be read, or a thread cannot be started.
    pub fn open(settings: Settings, loader: Arc<dyn Loader>) -> Result<Arc<Self>, LoadError> {
        scan::folder_id(&settings.tasks)
            .and_then(|_| scan::list(&settings.tasks))
            .map_err(|error| slots::folder_error(&settings.tasks, &error))?;
        let published = Arc::new(Published::default());
        let refused = |error: std::io::Error| {
            LoadError::new(
                format!("the threads that watch the tasks folder cannot be started: {error}"),
                "raise the limit of threads: ulimit -u",
            )
        };
        let module_bytes_max = settings.module_bytes_max;
        let stash = Arc::new(manage::Stash::new(loader));
        let loader = Arc::clone(&stash) as Arc<dyn Loader>;
        let watcher =
            watch::Watcher::start(settings.clone(), loader, Arc::clone(&published)).map_err(refused)?;
        let manager = manage::Manager::start(settings, stash, Arc::clone(&published), watcher.toucher());
        let manager = manager.map_err(refused)?;
        Ok(Arc::new(Self { published, manager, watcher, module_bytes_max }))
    }

    /// What is served now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.snapshot.load_full()
    }

    /// Size of the largest module that is taken, in bytes.
    #[must_use]
    pub fn module_bytes_max(&self) -> u64 {
        self.module_bytes_max
    }

    /// Whether all that lay in the folder at the start has been loaded or found wanting.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.published.ready.load(Ordering::Acquire)
    }

    /// What became of modules since the start.
    #[must_use]
    pub fn loads(&self) -> Loads {
        self.published.loads.read()
    }

    /// Puts or deletes a task, as a whole or not at all, and waits until that serves. Dropping the future
    /// does not take a change back.
    ///
    /// # Errors
    /// `refused-module` if it could not be served, `precondition-failed`, `unknown-task` for a deletion,
    /// `queue-full`, `loading` if it does not serve yet, `draining`, `internal` if it cannot be written.
    pub async fn change(&self, change: Change) -> Result<Changed, Error> {
        let gone = |_| Error::new(Kind::Draining, "the gateway is shutting down");
        self.manager.wish(change)?.await.map_err(gone)?
    }

    /// Looks at the folder now, and again at files that could not be loaded. Doesn't wait.
    pub fn reload(&self) {
        self.watcher.rescan(None);
    }

    /// As [`Registry::reload`], and waits until all that lies in the folder has been loaded or
    /// found wanting: files that are being written are waited for. Not for async callers.
    ///
    /// Returns whether that was reached; it gives up after a minute.
    pub fn rescan_blocking(&self) -> bool {
        let (reply, answer) = std::sync::mpsc::channel();
        self.watcher.rescan(Some(reply));
        answer.recv_timeout(RESCAN_WAIT_MAX).is_ok()
    }
}
