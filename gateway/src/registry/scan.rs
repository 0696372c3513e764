//! What lies in the tasks folder, and since when it has been lying still.
//!
//! Owns the reading of the folder and of single files, which names count, and the rule that keeps
//! half-written files out: a file is looked at only after it has kept its stamp for the settle
//! time and while nobody is known to be writing it. Time is handed in, so the rule is tested
//! without waiting. It doesn't know what the files mean, and starts no thread.

use crate::error::LoadError;
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Files with a counting name that a folder may hold: ten times what has been tried. Beyond it the
/// folder is more likely the wrong one.
const FILES_MAX: usize = 200_000;

/// An empty file must lie still for at least this long: a copy has often begun and not yet
/// written, and an empty manifest would be a valid one.
const EMPTY_SETTLE: Duration = Duration::from_secs(1);

/// At the first scan, files that were changed longer ago than this are taken as they are. File
/// systems keep times in steps of up to two seconds.
const UNTOUCHED_MIN: Duration = Duration::from_secs(3);

/// Extensions of modules.
pub const MODULES: [&str; 2] = ["wasm", "wat"];

/// Extension of manifests.
pub const MANIFEST: &str = "toml";

/// Identity and age of a file's content. Equal stamps mean equal content: the change time tells of
/// writes that restore size and modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// The file's size.
    pub size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size_bytes: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the last change lies well before `now`.
    fn untouched(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let since = |(seconds, _): (i64, i64)| {
            u64::try_from(seconds).ok().and_then(|seconds| now.checked_sub(Duration::from_secs(seconds)))
        };
        [self.modified, self.changed]
            .into_iter()
            .all(|time| since(time).is_some_and(|age| age > UNTOUCHED_MIN))
    }
}

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A regular file, or a link to one.
    File(Stamp),
    /// Something that cannot be read as a file, and why.
    Unfit(String),
}

/// What a file is for, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `*.wasm` or `*.wat`.
    Module,
    /// `*.toml`.
    Manifest,
}

/// One file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name without its extension.
    pub stem: String,
    /// What it is for.
    pub role: Role,
    /// What stands there.
    pub seen: Seen,
}

/// The files of a folder that count, by name.
pub type Listing = BTreeMap<String, Entry>;

/// Which folder a path leads to: a replaced folder has another identity.
pub type FolderId = (u64, u64);

/// The folder's identity.
///
/// # Errors
/// When there is no folder.
pub fn folder_id(folder: &Path) -> io::Result<FolderId> {
    let meta = fs::metadata(folder)?;
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok((meta.dev(), meta.ino()))
}

/// The stem and role of a file name, if it counts: not hidden, and of a known extension.
///
/// `Cargo.toml` doesn't count: the folder may be a Cargo workspace of the tasks' sources.
#[must_use]
pub fn classify(name: &OsStr) -> Option<(String, Role)> {
    let name = name.to_string_lossy();
    let (stem, extension) = name.rsplit_once('.')?;
    let role = match extension {
        MANIFEST => Role::Manifest,
        _ if MODULES.contains(&extension) => Role::Module,
        _ => return None,
    };
    if stem.starts_with('.') || stem.is_empty() || name == "Cargo.toml" {
        return None;
    }
    Some((stem.to_owned(), role))
}

/// Lists the folder. Subfolders are left out, links are followed.
///
/// # Errors
/// When the folder cannot be read, or holds too many files.
pub fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((stem, role)) = classify(&name) else { continue };
        let sort = entry.file_type()?;
        if sort.is_dir() {
            continue;
        }
        let seen = match look(&entry.path()) {
            Looked::Nothing | Looked::Folder => continue,
            Looked::Seen(seen) => seen,
        };
        if listing.len() >= FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} modules and manifests")));
        }
        listing.insert(name.to_string_lossy().into_owned(), Entry { stem, role, seen });
    }
    Ok(listing)
}

/// How many files of a folder would be modules by their names; none if it cannot be read.
#[must_use]
pub fn count_modules(folder: &Path) -> usize {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| matches!(classify(name), Some((_, Role::Module)))).take(FILES_MAX).count()
}

/// Lists one name of the folder, if it counts and is there.
#[must_use]
pub fn list_one(folder: &Path, name: &str) -> Option<Entry> {
    let (stem, role) = classify(OsStr::new(name))?;
    match look(&folder.join(name)) {
        Looked::Nothing | Looked::Folder => None,
        Looked::Seen(seen) => Some(Entry { stem, role, seen }),
    }
}

/// What a path leads to.
#[derive(Debug)]
pub enum Looked {
    /// Nothing is there.
    Nothing,
    /// A folder.
    Folder,
    /// Anything else.
    Seen(Seen),
}

/// Looks at one path; links are followed.
#[must_use]
pub fn look(path: &Path) -> Looked {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Looked::Folder,
        Ok(meta) if meta.is_file() => Looked::Seen(Seen::File(Stamp::of(&meta))),
        Ok(_) => Looked::Seen(Seen::Unfit("is no regular file".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_symlink() => {
                Looked::Seen(Seen::Unfit("is a link to a file that does not exist".to_owned()))
            }
            _ => Looked::Nothing,
        },
        Err(error) => Looked::Seen(Seen::Unfit(format!("cannot be examined: {error}"))),
    }
}

/// Why a file was not read.
#[derive(Debug)]
pub enum ReadError {
    /// It is no longer the file that was seen: look again once it lies still.
    Changed,
    /// It cannot be read.
    Failed(LoadError),
}

/// Reads a file whole, if it still is the one `stamp` was taken from, before and after.
///
/// # Errors
/// See [`ReadError`].
pub fn read(path: &Path, stamp: Stamp) -> Result<Vec<u8>, ReadError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Changed,
        _ => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ReadError::Failed(LoadError::new(
                format!("{name} cannot be read: {error}"),
                format!("let the gateway's user read it: chmod a+r {name}"),
            ))
        }
    };
    let still = |meta: Metadata| if Stamp::of(&meta) == stamp { Ok(()) } else { Err(ReadError::Changed) };
    // Not to hang on what has become a named pipe since.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    still(file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size_bytes).unwrap_or(0));
    (&file).take(stamp.size_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    still(file.metadata().map_err(failed)?)?;
    still(fs::metadata(path).map_err(failed)?)?;
    if u64::try_from(bytes.len()).ok() != Some(stamp.size_bytes) {
        return Err(ReadError::Changed);
    }
    Ok(bytes)
}

/// The settled files that share a stem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Modules of that stem; more than one is a mistake.
    pub modules: Vec<(String, Seen)>,
    /// The manifest.
    pub manifest: Option<(String, Seen)>,
}

/// What is known of one stem's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// At least one of them is being written, or came or went a moment ago.
    Moving,
    /// All lie still.
    Still(View),
}

/// Tells which files lie still.
#[derive(Debug)]
pub struct Settler {
    settle: Duration,
    files: BTreeMap<String, Track>,
    /// The files that don't lie still.
    moving: BTreeSet<String>,
    /// The stems whose group may have changed since it was last asked for.
    news: BTreeSet<String>,
}

#[derive(Debug)]
struct Track {
    stem: String,
    /// `None` once it has gone.
    seen: Option<Seen>,
    since: Instant,
    still: bool,
    writing: bool,
}

impl Settler {
    /// Without files; `settle` is how long one must keep its stamp.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { settle, files: BTreeMap::new(), moving: BTreeSet::new(), news: BTreeSet::new() }
    }

    /// Takes in a listing of the whole folder. `wall` is given at the first scan, when old files
    /// are taken at once.
    pub fn observe_all(&mut self, listing: &Listing, now: Instant, wall: Option<SystemTime>) {
        let gone: Vec<String> =
            self.files.keys().filter(|name| !listing.contains_key(*name)).cloned().collect();
        for name in gone {
            self.observe(&name, None, now, None);
        }
        for (name, entry) in listing {
            self.observe(name, Some(entry), now, wall);
        }
    }

    /// Takes in what stands under one name.
    pub fn observe(&mut self, name: &str, entry: Option<&Entry>, now: Instant, wall: Option<SystemTime>) {
        let seen = entry.map(|entry| &entry.seen);
        if let Some(track) = self.files.get_mut(name) {
            if track.seen.as_ref() == seen {
                return;
            }
            (track.seen, track.since, track.still) = (seen.cloned(), now, false);
            self.news.insert(track.stem.clone());
            self.moving.insert(name.to_owned());
        } else if let Some(entry) = entry {
            let still =
                matches!((&entry.seen, wall), (Seen::File(stamp), Some(wall)) if stamp.untouched(wall));
            let (stem, seen) = (entry.stem.clone(), Some(entry.seen.clone()));
            self.news.insert(stem.clone());
            if !still {
                self.moving.insert(name.to_owned());
            }
            self.files.insert(name.to_owned(), Track { stem, seen, since: now, still, writing: false });
        }
    }

    /// Settles what has been lying still for long enough. `writers` are the files with an open
    /// writer.
    pub fn settle<'w>(&mut self, writers: impl Iterator<Item = &'w str>, now: Instant) {
        for track in self.moving.iter().filter_map(|name| self.files.get(name)).filter(|track| track.writing)
        {
            self.news.insert(track.stem.clone());
        }
        for name in &self.moving {
            if let Some(track) = self.files.get_mut(name) {
                track.writing = false;
            }
        }
        for name in writers {
            if let Some(track) = self.files.get_mut(name) {
                (track.writing, track.still) = (true, false);
                self.moving.insert(name.to_owned());
                self.news.insert(track.stem.clone());
            }
        }
        let settle = self.settle;
        let (files, news) = (&mut self.files, &mut self.news);
        self.moving.retain(|name| {
            let Some(track) = files.get_mut(name) else { return false };
            if track.writing || now.saturating_duration_since(track.since) < track.wait(settle) {
                return true;
            }
            track.still = true;
            news.insert(track.stem.clone());
            if track.seen.is_none() {
                files.remove(name);
            }
            false
        });
    }

    /// Starts the settle time of `name` anew.
    pub fn disturb(&mut self, name: &str, now: Instant) {
        if let Some(track) = self.files.get_mut(name) {
            (track.since, track.still) = (now, false);
            self.moving.insert(name.to_owned());
            self.news.insert(track.stem.clone());
        }
    }

    /// Makes a stem news although its files did not move.
    pub fn renew(&mut self, stem: String) {
        self.news.insert(stem);
    }

    /// When the next file may lie still, if any is moving. One that is being written is not
    /// counted: its writer's end is told.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let tracks = self.moving.iter().filter_map(|name| self.files.get(name));
        tracks.filter(|track| !track.writing).map(|track| track.since + track.wait(self.settle)).min()
    }

    /// The files that don't lie still.
    #[must_use]
    pub fn moving(&self) -> &BTreeSet<String> {
        &self.moving
    }

    /// The stems whose group may have changed since the last call.
    pub fn take_news(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.news)
    }

    /// What is known of a stem; `None` if it has no files.
    #[must_use]
    pub fn group(&self, stem: &str) -> Option<Group> {
        let mut view = View::default();
        for extension in MODULES.iter().copied().chain([MANIFEST]) {
            let Some((name, track)) = self.files.get_key_value(&format!("{stem}.{extension}")) else {
                continue;
            };
            match &track.seen {
                Some(seen) if track.still && extension == MANIFEST => {
                    view.manifest = Some((name.clone(), seen.clone()));
                }
                Some(seen) if track.still => view.modules.push((name.clone(), seen.clone())),
                _ => return Some(Group::Moving),
            }
        }
        (view != View::default()).then_some(Group::Still(view))
    }
}

impl Track {
    fn wait(&self, settle: Duration) -> Duration {
        match &self.seen {
            Some(Seen::File(stamp)) if stamp.size_bytes == 0 => settle.max(EMPTY_SETTLE),
            _ => settle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(150);

    fn stamp(size_bytes: u64, second: i64) -> Stamp {
        Stamp { device: 1, inode: 1, size_bytes, modified: (second, 0), changed: (second, 0) }
    }

    fn listing(files: &[(&str, Stamp)]) -> Listing {
        files
            .iter()
            .map(|(name, stamp)| {
                let (stem, role) = classify(OsStr::new(name)).unwrap();
                ((*name).to_owned(), Entry { stem, role, seen: Seen::File(*stamp) })
            })
            .collect()
    }

    fn is_still(settler: &Settler, stem: &str) -> bool {
        matches!(settler.group(stem), Some(Group::Still(_)))
    }

    /// A scan as the thread makes it; returns whether there are news.
    fn observe(settler: &mut Settler, files: &Listing, writer: Option<&str>, now: Instant) -> bool {
        settler.observe_all(files, now, None);
        settler.settle(writer.into_iter(), now);
        !settler.take_news().is_empty()
    }

    #[test]
    fn only_modules_and_manifests_count() {
        let counts = |name: &str| classify(OsStr::new(name));
        assert_eq!(counts("sleep.wasm"), Some(("sleep".to_owned(), Role::Module)));
        assert_eq!(counts("sleep.wat"), Some(("sleep".to_owned(), Role::Module)));
        assert_eq!(counts("sleep.toml"), Some(("sleep".to_owned(), Role::Manifest)));
        assert_eq!(counts("Bad Name.wasm"), Some(("Bad Name".to_owned(), Role::Module)));
        for name in [
            "README.md",
            ".sleep.wasm.x1",
            ".sleep.wasm",
            ".wasm",
            "wasm",
            "a.wasm.tmp",
            "Cargo.toml",
            "a.WASM",
        ] {
            assert_eq!(counts(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_counts_once_it_has_kept_its_stamp_for_the_settle_time() {
        let (mut settler, start) = (Settler::new(SETTLE), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(observe(&mut settler, &listing(&[("a.wasm", stamp(1, 1))]), None, at(0)));
        assert!(!is_still(&settler, "a"));
        assert_eq!(settler.next(), Some(at(150)));
        assert!(observe(&mut settler, &listing(&[("a.wasm", stamp(2, 1))]), None, at(100)));
        observe(&mut settler, &listing(&[("a.wasm", stamp(2, 1))]), None, at(200));
        assert!(!is_still(&settler, "a"), "it grew at 100 ms");
        assert!(observe(&mut settler, &listing(&[("a.wasm", stamp(2, 1))]), None, at(250)));
        assert!(is_still(&settler, "a"));
        assert!(!observe(&mut settler, &listing(&[("a.wasm", stamp(2, 1))]), None, at(300)));
        assert_eq!(settler.next(), None);
    }

    #[test]
    fn a_file_with_an_open_writer_never_lies_still() {
        let (mut settler, start) = (Settler::new(SETTLE), Instant::now());
        let files = listing(&[("a.wasm", stamp(1, 1))]);
        observe(&mut settler, &files, Some("a.wasm"), start);
        observe(&mut settler, &files, Some("a.wasm"), start + Duration::from_secs(20));
        assert!(!is_still(&settler, "a"));
        observe(&mut settler, &files, None, start + Duration::from_secs(21));
        assert!(is_still(&settler, "a"));
    }

    #[test]
    fn module_and_manifest_settle_together_and_absence_settles_too() {
        let (mut settler, start) = (Settler::new(SETTLE), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let both = listing(&[("a.wasm", stamp(1, 1)), ("a.toml", stamp(1, 1))]);
        observe(&mut settler, &listing(&[("a.wasm", stamp(1, 1))]), None, at(0));
        observe(&mut settler, &both, None, at(100));
        observe(&mut settler, &both, None, at(160));
        assert!(!is_still(&settler, "a"), "the manifest came at 100 ms");
        observe(&mut settler, &both, None, at(250));
        assert!(is_still(&settler, "a"));
        observe(&mut settler, &Listing::new(), None, at(300));
        assert!(!is_still(&settler, "a"));
        observe(&mut settler, &Listing::new(), None, at(450));
        assert!(settler.group("a").is_none() && settler.files.is_empty());
    }

    #[test]
    fn an_empty_file_waits_longer() {
        let (mut settler, start) = (Settler::new(SETTLE), Instant::now());
        let files = listing(&[("a.toml", stamp(0, 1))]);
        observe(&mut settler, &files, None, start);
        observe(&mut settler, &files, None, start + Duration::from_millis(500));
        assert!(!is_still(&settler, "a"));
        observe(&mut settler, &files, None, start + EMPTY_SETTLE);
        assert!(is_still(&settler, "a"));
    }

    #[test]
    fn at_the_first_scan_old_files_are_taken_at_once() {
        let (mut settler, start) = (Settler::new(SETTLE), Instant::now());
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let files = listing(&[
            ("old.wasm", stamp(1, 990)),
            ("new.wasm", stamp(1, 999)),
            ("odd.wasm", stamp(1, 2_000)),
        ]);
        settler.observe_all(&files, start, Some(wall));
        assert!(is_still(&settler, "old"));
        assert!(!is_still(&settler, "new"));
        assert!(!is_still(&settler, "odd"), "a time in the future proves nothing");
    }

    #[test]
    fn a_file_that_changed_since_it_was_seen_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        fs::write(&path, "one").unwrap();
        let Seen::File(stamp) = list(folder.path()).unwrap()["a.wasm"].seen.clone() else { panic!("a file") };
        assert_eq!(read(&path, stamp).unwrap(), b"one");
        fs::write(&path, "three").unwrap();
        assert!(matches!(read(&path, stamp), Err(ReadError::Changed)));
        fs::remove_file(&path).unwrap();
        assert!(matches!(read(&path, stamp), Err(ReadError::Changed)));
    }

    #[test]
    fn folders_pipes_and_dangling_links_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dir.wasm")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link.wasm")).unwrap();
        std::os::unix::net::UnixListener::bind(folder.path().join("pipe.wasm")).unwrap();
        let files = list(folder.path()).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["link.wasm", "pipe.wasm"]);
        assert!(files.values().all(|entry| matches!(entry.seen, Seen::Unfit(_))));
    }
}
