//! The thread that keeps the registry up to date, and what wakes it.
//!
//! Owns the rhythm: when the folder is scanned, when a job is handed out, when a snapshot is
//! published. Three things wake it: file events, finished jobs, and the clock. Events are a hint
//! and never trusted alone: the folder is polled as well, so that network, overlay and bind mounts
//! that deliver none work the same, only later. It decides nothing about tasks: that is `slots.rs`.

use super::compile::{Compiler, Done};
use super::scan::{self, FolderId, Settler};
use super::slots::{Slots, emptied_error, folder_error};
use super::{Loader, Published, Settings, Snapshot};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// A writer that has written nothing for so long is taken for gone. Its end is told by an event,
/// unless that was lost or the file was cut without being opened.
const WRITER_IDLE_MAX: Duration = Duration::from_secs(60);

/// Least time between two scans, so that a burst of events costs one.
const SCAN_GAP_MIN: Duration = Duration::from_millis(10);

/// With file events, polling may take one part in this many of a core's time: a folder of a
/// hundred tasks is polled as often as the settings say, one of ten thousand every few seconds.
const POLL_SHARE: u32 = 500;

/// Scans after events may take one part in this many of a core's time.
const EVENT_SHARE: u32 = 10;

/// Touched files that are looked at one by one; beyond it the whole folder is.
const TOUCHED_MAX: usize = 1_000;

/// Least time between two snapshots while jobs are out, so that small tasks come in batches.
const PUBLISH_GAP_MIN: Duration = Duration::from_millis(25);

/// Snapshots may take one part in this many of the time: one of ten thousand tasks costs
/// milliseconds.
const PUBLISH_SHARE: u32 = 20;

/// Files that are still being written hold up readiness no longer than this.
const READY_MOVING_MAX: Duration = Duration::from_secs(2);

/// Whether the platform's events tell when a writer closes its file. Elsewhere only the settle
/// time tells.
const CLOSE_IS_TOLD: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The thread. Dropped, it ends and is joined.
pub struct Watcher {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread and that of the compiler.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(settings: Settings, loader: Arc<dyn Loader>, published: Arc<Published>) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let reports = Arc::clone(&inbox);
        let compiler =
            Compiler::start(Arc::clone(&loader), move |done| reports.tell(|mail| mail.done.push(done)))?;
        let now = Instant::now();
        let mut life = Life {
            inbox: Arc::clone(&inbox),
            settler: Settler::new(settings.settle),
            slots: Slots::new(settings.clone(), loader, Arc::clone(&published)),
            settings,
            compiler,
            published,
            events: None,
            events_failed: false,
            folder: None,
            begun: now,
            scanned: None,
            scan_end: now,
            scan_cost: Duration::ZERO,
            looked: now,
            looked_once: false,
            retry: false,
            trusted: false,
            touched: BTreeSet::new(),
            touched_due: None,
            touched_cost: Duration::ZERO,
            published_at: None,
            publish_cost: Duration::ZERO,
            replies: Vec::new(),
        };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || life.live())?;
        Ok(Self { inbox, thread: Some(thread) })
    }

    /// Asks for a scan now; `reply` gets a message when all that lies there has been dealt with.
    pub fn rescan(&self, reply: Option<Sender<()>>) {
        self.inbox.tell(|mail| {
            mail.rescan = true;
            mail.replies.extend(reply);
        });
    }
}

impl Watcher {
    /// Tells the thread of files that somebody here wrote or removed, whether or not events do.
    pub fn toucher(&self) -> impl Fn(Vec<String>) + Send + 'static {
        let inbox = Arc::clone(&self.inbox);
        move |files| inbox.tell(|mail| mail.touched.extend(files))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.inbox.tell(|mail| mail.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the other threads leave for this one. Everything in it is bounded: flags, one job's
/// result, one entry per file that is being written.
#[derive(Default)]
struct Inbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
}

#[derive(Default)]
struct Mail {
    stop: bool,
    /// Files that something happened to.
    touched: BTreeSet<String>,
    /// Events were lost: anything may have happened.
    lost: bool,
    /// Something happened to the folder itself.
    folder: bool,
    rescan: bool,
    done: Vec<Done>,
    replies: Vec<Sender<()>>,
    /// Files with an open writer, and when it last wrote.
    writers: HashMap<String, Instant>,
}

impl Mail {
    fn is_new(&self) -> bool {
        self.stop
            || self.lost
            || !self.touched.is_empty()
            || self.folder
            || self.rescan
            || !self.done.is_empty()
    }

    /// Takes in a file event.
    fn event(&mut self, folder: &Path, event: notify::Result<notify::Event>, now: Instant) {
        let event = match event {
            Ok(event) if event.need_rescan() => {
                // Events were lost, and with them perhaps a writer's end.
                self.writers.clear();
                self.lost = true;
                return;
            }
            Ok(event) => event,
            Err(_) => {
                self.lost = true;
                return;
            }
        };
        // Reading, ours included, changes nothing.
        if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
            return;
        }
        for path in &event.paths {
            if path == folder {
                self.folder = true;
                continue;
            }
            let Some(name) = path.file_name().filter(|name| scan::classify(name).is_some()) else { continue };
            let name = name.to_string_lossy().into_owned();
            if CLOSE_IS_TOLD && matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) {
                // Until its writer is done there is nothing to look at, so only the first one wakes.
                if self.writers.insert(name.clone(), now).is_none() {
                    self.touched.insert(name);
                }
            } else {
                if !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Create(_)) {
                    self.writers.remove(&name);
                }
                self.touched.insert(name);
            }
        }
        if self.touched.len() > TOUCHED_MAX {
            self.touched.clear();
            self.lost = true;
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        // The mail stays whole: nothing in the locked sections can fail half-way.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: impl FnOnce(&mut Mail)) {
        let mut mail = self.lock();
        what(&mut mail);
        if mail.is_new() {
            self.arrived.notify_one();
        }
    }

    /// Waits for mail, or until `due`. Takes all but the writers, which are still writing.
    fn wait(&self, due: Instant) -> Mail {
        let mut mail = self.lock();
        while !mail.is_new() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            mail = self.arrived.wait_timeout(mail, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let writers = std::mem::take(&mut mail.writers);
        let taken = std::mem::take(&mut *mail);
        mail.writers = writers;
        taken
    }

    /// The files that are being written now.
    fn writers(&self, now: Instant) -> HashMap<String, Instant> {
        let mut mail = self.lock();
        mail.writers.retain(|_, last| now.saturating_duration_since(*last) < WRITER_IDLE_MAX);
        mail.writers.clone()
    }
}

/// The thread's state.
struct Life {
    settings: Settings,
    inbox: Arc<Inbox>,
    settler: Settler,
    slots: Slots,
    compiler: Compiler,
    published: Arc<Published>,
    /// The source of file events, and the folder it is armed on.
    events: Option<(RecommendedWatcher, FolderId)>,
    /// Arming it failed and that was logged.
    events_failed: bool,
    /// The folder could be read at the last scan, and is not an empty one in another's place.
    trusted: bool,
    /// The folder that the slots' files are from.
    folder: Option<FolderId>,
    begun: Instant,
    /// When the folder was scanned; `None` asks for a scan.
    scanned: Option<Instant>,
    scan_end: Instant,
    /// When anything was looked at.
    looked: Instant,
    looked_once: bool,
    /// What failed is to be tried again at the next scan.
    retry: bool,
    /// CPU time of the last scan.
    scan_cost: Duration,
    /// Files to look at because of an event, since when, and what the last such look cost.
    touched: BTreeSet<String>,
    touched_due: Option<Instant>,
    touched_cost: Duration,
    published_at: Option<Instant>,
    publish_cost: Duration,
    replies: Vec<Sender<()>>,
}

impl Life {
    fn live(&mut self) {
        loop {
            let mail = self.inbox.wait(self.next_due());
            if mail.stop {
                return;
            }
            self.take(mail);
            let now = Instant::now();
            if self.scan_at() <= now {
                self.scan(now);
            } else if self.look_at().is_some_and(|due| due <= now) {
                self.look_at_touched(now);
            }
            let stems = self.settler.take_news();
            if !stems.is_empty() || self.slots.wants_judging() {
                for file in self.slots.judge(stems, &self.settler) {
                    self.settler.disturb(&file, Instant::now());
                }
            }
            if !self.compiler.is_busy()
                && let Some(job) = self.slots.next_job()
            {
                self.compiler.begin(job);
            }
            self.publish();
        }
    }

    fn take(&mut self, mail: Mail) {
        let now = Instant::now();
        for done in mail.done {
            self.compiler.finished();
            if let Some(file) = self.slots.take(done) {
                self.settler.disturb(&file, now);
            }
        }
        if mail.folder {
            self.events = None;
        }
        if mail.rescan {
            self.retry = true;
            // Whoever asks means what lies there now, an empty folder included.
            self.folder = None;
        }
        if mail.folder || mail.rescan || mail.lost {
            self.scanned = None;
        }
        self.replies.extend(mail.replies);
        if !mail.touched.is_empty() {
            self.touched.extend(mail.touched);
            self.touched_due.get_or_insert(now);
        }
    }

    /// When the whole folder is to be scanned next.
    fn scan_at(&self) -> Instant {
        let Some(scanned) = self.scanned else { return self.scan_end + self.scan_cost * EVENT_SHARE };
        let poll = match &self.events {
            Some(_) => self.settings.poll.max(self.scan_cost * POLL_SHARE),
            None => self.settings.poll,
        };
        scanned + poll
    }

    /// When the files that moved are to be looked at next, if any did.
    fn look_at(&self) -> Option<Instant> {
        if !self.trusted {
            return None;
        }
        let due = [self.touched_due, self.settler.next()].into_iter().flatten().min()?;
        Some(due.max(self.looked + SCAN_GAP_MIN.max(self.touched_cost * EVENT_SHARE)))
    }

    fn next_due(&self) -> Instant {
        let now = Instant::now();
        let publish = self.published_at.filter(|_| self.compiler.is_busy()).map(|at| at + self.publish_gap());
        let due = [self.look_at(), publish.filter(|due| *due > now)].into_iter().flatten().min();
        due.map_or(self.scan_at(), |due| due.min(self.scan_at()))
    }

    /// Looks at the whole folder.
    fn scan(&mut self, now: Instant) {
        let before = cpu_time();
        let first = !self.looked_once;
        self.looked_once = true;
        self.touched.clear();
        self.touched_due = None;
        self.trusted = false;
        if let Err(error) = self.look(now, first) {
            // Armed again when it is back: its events may be those of a folder that is gone.
            self.events = None;
            self.slots.folder(Some(folder_error(&self.settings.tasks, &error)));
        } else if std::mem::take(&mut self.retry) {
            for stem in self.slots.retry_failures() {
                self.settler.renew(stem);
            }
        }
        (self.scanned, self.scan_end) = (Some(Instant::now()), Instant::now());
        self.looked = self.scan_end;
        self.scan_cost = cpu_time().saturating_sub(before);
    }

    /// Looks at the files that events named, and at those that don't lie still yet.
    fn look_at_touched(&mut self, now: Instant) {
        let before = cpu_time();
        let mut names = std::mem::take(&mut self.touched);
        self.touched_due = None;
        // Of a folder that is not the known one nothing is believed before a scan.
        if scan::folder_id(&self.settings.tasks).ok() != self.folder {
            self.scanned = None;
            return;
        }
        names.extend(self.settler.moving().iter().cloned());
        for name in &names {
            self.settler.observe(name, scan::list_one(&self.settings.tasks, name).as_ref(), now, None);
        }
        self.settle(now);
        self.looked = Instant::now();
        self.touched_cost = cpu_time().saturating_sub(before);
    }

    fn settle(&mut self, now: Instant) {
        let writers = self.inbox.writers(now);
        self.settler.settle(writers.keys().map(String::as_str), now);
    }

    fn look(&mut self, now: Instant, first: bool) -> io::Result<()> {
        let folder = scan::folder_id(&self.settings.tasks)?;
        // Armed before it is read: what comes later is told.
        self.arm(folder);
        let listing = scan::list(&self.settings.tasks)?;
        if self.folder.is_some_and(|known| known != folder) && listing.is_empty() && self.slots.serves() {
            self.slots.folder(Some(emptied_error(&self.settings.tasks)));
            return Ok(());
        }
        (self.folder, self.trusted) = (Some(folder), true);
        self.slots.folder(None);
        self.settler.observe_all(&listing, now, first.then(SystemTime::now));
        self.settle(now);
        Ok(())
    }

    /// Makes sure that events come from this very folder.
    fn arm(&mut self, folder: FolderId) {
        if self.events.as_ref().is_some_and(|(_, armed)| *armed == folder) {
            return;
        }
        self.events = None;
        let inbox = Arc::clone(&self.inbox);
        // Events name absolute paths.
        let path = std::path::absolute(&self.settings.tasks).unwrap_or_else(|_| self.settings.tasks.clone());
        let watched = path.clone();
        inbox.lock().writers.clear();
        let armed = notify::recommended_watcher(move |event| {
            inbox.tell(|mail| mail.event(&path, event, Instant::now()));
        })
        .and_then(|mut events| {
            events.watch(&watched, RecursiveMode::NonRecursive)?;
            Ok(events)
        });
        match armed {
            Ok(events) => {
                self.events = Some((events, folder));
                self.events_failed = false;
            }
            Err(error) if !self.events_failed => {
                self.events_failed = true;
                tracing::warn!(
                    reason = %error,
                    "no file events for the tasks folder, it is polled instead: {error} \
                     (sysctl fs.inotify.max_user_instances and max_user_watches bound them)"
                );
            }
            Err(_) => {}
        }
    }

    fn publish_gap(&self) -> Duration {
        PUBLISH_GAP_MIN.max(self.publish_cost * PUBLISH_SHARE)
    }

    fn publish(&mut self) {
        let busy = self.compiler.is_busy();
        if busy && self.published_at.is_some_and(|at| at.elapsed() < self.publish_gap()) {
            return;
        }
        let before = cpu_time();
        if let Some(snapshot) = self.slots.snapshot() {
            self.published.snapshot.store(Arc::<Snapshot>::new(snapshot));
            self.published_at = Some(Instant::now());
            self.publish_cost = cpu_time().saturating_sub(before);
        }
        if busy || self.scanned.is_none() || self.slots.wants_judging() || !self.slots.is_idle() {
            return;
        }
        let moving = !self.settler.moving().is_empty();
        if !moving || self.begun.elapsed() > READY_MOVING_MAX {
            self.published.ready.store(true, Ordering::Release);
        }
        if !moving && self.touched_due.is_none() {
            for reply in self.replies.drain(..) {
                // Whoever asked may have gone.
                let _ = reply.send(());
            }
        }
    }
}

/// CPU time of this thread: unlike the clock it isn't stretched by a busy machine.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::Event;
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind, RenameMode};

    fn mail(events: &[(EventKind, &str)]) -> Mail {
        let mut mail = Mail::default();
        for (kind, path) in events {
            mail.event(Path::new("/tasks"), Ok(Event::new(*kind).add_path(path.into())), Instant::now());
        }
        mail
    }

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

    #[test]
    #[cfg(target_os = "linux")]
    fn a_writer_is_known_from_its_first_write_to_its_close() {
        let writing =
            mail(&[(EventKind::Create(CreateKind::File), "/tasks/a.wasm"), (WRITTEN, "/tasks/a.wasm")]);
        assert!(!writing.touched.is_empty() && writing.writers.contains_key("a.wasm"));
        for end in
            [CLOSED, EventKind::Remove(RemoveKind::File), EventKind::Modify(ModifyKind::Name(RenameMode::To))]
        {
            let ended = mail(&[(WRITTEN, "/tasks/a.wasm"), (end, "/tasks/a.wasm")]);
            assert!(!ended.touched.is_empty() && ended.writers.is_empty(), "{end:?}");
        }
        let mut lost = mail(&[(WRITTEN, "/tasks/a.wasm")]);
        lost.event(
            Path::new("/tasks"),
            Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)),
            Instant::now(),
        );
        assert!(lost.lost && lost.writers.is_empty());
    }

    #[test]
    fn reading_and_other_files_wake_nobody() {
        let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(
            !mail(&[(read, "/tasks/a.wasm"), (CLOSED, "/tasks/notes.md"), (WRITTEN, "/tasks/.a.wasm.x")])
                .is_new()
        );
        assert!(mail(&[(EventKind::Remove(RemoveKind::Folder), "/tasks")]).folder);
    }
}
