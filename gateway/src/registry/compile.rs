//! The thread that prepares modules: one at a time, at low priority.
//!
//! Owns the thread and nothing else: which module is next is decided in `slots.rs`, what preparing
//! means is the loader's matter. It must not run on an async runtime or on the pool's workers,
//! whose calls it would disturb.

use super::Loader;
use super::scan::{self, ReadError, Stamp};
use crate::error::LoadError;
use crate::runtime::{Notes, Prepared};
use sha2::{Digest, Sha256};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Niceness of the thread: that of the engine's compiling threads, and below the pool's workers'.
pub const COMPILE_NICE: i32 = 10;

/// Jobs out at once. A second one could not be replaced by a newer version of its file any more.
const JOBS_MAX: usize = 1;

/// SHA-256 of a file.
pub type FileDigest = [u8; 32];

/// A module to be prepared.
pub struct Job {
    /// Distinguishes it from earlier ones of the same task.
    pub ticket: u64,
    /// The task's name.
    pub stem: String,
    /// The module.
    pub path: PathBuf,
    /// What the file looked like when it lay still.
    pub stamp: Stamp,
    /// What the manifest adds.
    pub notes: Notes,
    /// The content that need not be prepared again.
    pub known: Option<FileDigest>,
}

/// What came of a job.
pub enum Made {
    /// A new module, and its content's digest.
    New(Box<Prepared>, FileDigest),
    /// The content is the known one.
    Same,
}

/// A finished job.
pub struct Done {
    /// See [`Job::ticket`].
    pub ticket: u64,
    /// See [`Job::stem`].
    pub stem: String,
    /// What came of it.
    pub result: Result<Made, ReadError>,
    /// How long it took, the reading included.
    pub took: Duration,
}

/// The thread. Dropped, it ends and is joined, unless a module is just being prepared: a
/// compilation cannot be cancelled, so it is abandoned.
pub struct Compiler {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Compiler {
    /// Starts the thread; `done` is called on it.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(loader: Arc<dyn Loader>, done: impl Fn(Done) + Send + 'static) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel(JOBS_MAX);
        let thread =
            thread::Builder::new().name("compile".to_owned()).spawn(move || run(&inbox, &*loader, &done))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), busy: false })
    }

    /// Whether a job is out.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Hands out a job. Only when none is out.
    pub fn begin(&mut self, job: Job) {
        if let Some(jobs) = &self.jobs {
            self.busy = jobs.try_send(job).is_ok();
        }
    }

    /// The job that was out has been reported.
    pub fn finished(&mut self) {
        self.busy = false;
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && !self.busy
        {
            let _ = thread.join();
        }
    }
}

fn run(inbox: &Receiver<Job>, loader: &dyn Loader, done: &dyn Fn(Done)) {
    // Not allowed to: modules are prepared all the same.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), COMPILE_NICE);
    while let Ok(job) = inbox.recv() {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| make(&job, loader))).unwrap_or_else(|_| {
            Err(ReadError::Failed(LoadError::new(
                "preparing the module made the gateway panic; this is a fault of the gateway",
                "report it together with the module; the gateway's log has the panic's text",
            )))
        });
        done(Done { ticket: job.ticket, stem: job.stem, result, took: start.elapsed() });
    }
}

fn make(job: &Job, loader: &dyn Loader) -> Result<Made, ReadError> {
    let bytes = scan::read(&job.path, job.stamp)?;
    let digest: FileDigest = Sha256::digest(&bytes).into();
    if job.known == Some(digest) {
        return Ok(Made::Same);
    }
    let prepared = loader.prepare(&bytes, &job.notes).map_err(ReadError::Failed)?;
    Ok(Made::New(Box::new(prepared), digest))
}
