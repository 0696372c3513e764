//! Compiled code on disk, so that a restart takes milliseconds.
//!
//! One file for each module and configuration of the engine, written aside under a name of its own and
//! renamed, so that any number of processes share the folder. An entry opens with the checksum of its
//! code: what was damaged is compiled again, where the engine's own cache would run it. The checksum
//! proves nothing about who wrote it; that the folder is private does. The least used entries go when
//! the folder is over its size. A failure in here costs a compilation and nothing else. Knows no tasks.

use anyhow::{Context as _, bail};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Metadata};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Bytes of one entry: beyond it a file is no compiled code but damage, and reading it would cost that
/// much memory. The largest module, 256 MiB, seldom makes more.
const ENTRY_BYTES_MAX: u64 = 1 << 30;

/// Bytes of the checksum in front of the code: SHA-256.
const CHECKSUM_BYTES: usize = 32;

/// Extension of an entry on its way.
const ASIDE: &str = "new";

/// An entry on its way that is this far from now was left behind by a crash. No write takes that long.
const ASIDE_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// What others write is seen when this process has written one part in this many of the folder's size.
const LOOK_SHARE: u64 = 16;

/// A folder that is full is emptied by one part in this many, so that the next look is far.
const TRIM_SHARE: u64 = 8;

/// Permission of the group and of others to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What came of asking for code since the start. Without a folder nothing is hit or missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Modules whose code was in the folder.
    pub hits: u64,
    /// Modules whose code was not, or could not be used.
    pub misses: u64,
    /// Modules that were compiled, or could not be.
    pub compilations: u64,
    /// How long that took, all together.
    pub took: Duration,
}

/// The same while it grows.
#[derive(Debug, Default)]
pub struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    compilations: AtomicU64,
    took_ns: AtomicU64,
}

impl Counts {
    /// The numbers of this moment.
    pub fn read(&self) -> Compiled {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Compiled {
            hits: of(&self.hits),
            misses: of(&self.misses),
            compilations: of(&self.compilations),
            took: Duration::from_nanos(of(&self.took_ns)),
        }
    }

    fn compiled(&self, took: Duration) {
        self.compilations.fetch_add(1, Ordering::Relaxed);
        self.took_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Where code is looked for, and who counts what is found.
pub type Shelf<'a> = (Option<&'a CodeCache>, &'a Counts);

/// A folder of compiled code.
pub struct CodeCache {
    folder: PathBuf,
    /// Bytes that the folder may hold.
    bytes_max: u64,
    usage: Mutex<Usage>,
    /// The last write failed, and that was told.
    failing: AtomicBool,
    /// What the code depends on beside the module: the engine's version and configuration.
    engine: Sha256,
}

/// What is known of the folder's size, in bytes.
#[derive(Default)]
struct Usage {
    /// At the last look; `None` before the first.
    seen: Option<u64>,
    /// Written by this process since.
    written: u64,
}

impl CodeCache {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or others can write there.
    pub fn open(folder: &Path, bytes_max: u64, engine: &Engine) -> anyhow::Result<Self> {
        let folder = folder.join("code");
        private(&folder)?;
        let mut hasher = Hashed(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder,
            bytes_max,
            usage: Mutex::default(),
            failing: AtomicBool::new(false),
            engine: hasher.0,
        })
    }

    /// Brings the folder within its size, and removes what crashes left behind.
    pub fn tidy(&self) {
        if let Err(error) = self.make_room(0) {
            tracing::warn!(cause = %error, folder = %self.folder.display(), "the cache folder cannot be tidied");
        }
    }

    fn path(&self, kind: &str, binary: &[u8]) -> PathBuf {
        let key = self.engine.clone().chain_update(kind).chain_update(binary).finalize();
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }

    /// The code of an entry, if it is there and whole.
    fn read(path: &Path) -> Option<Vec<u8>> {
        match whole(path) {
            Ok(code) => Some(code),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(
                    entry = %path.display(),
                    "compiled code in the cache is not used ({error}): compiling again"
                );
                None
            }
        }
    }

    fn write(&self, path: &Path, code: &[u8]) {
        let bytes = (CHECKSUM_BYTES + code.len()) as u64;
        if bytes > self.bytes_max.min(ENTRY_BYTES_MAX) {
            tracing::debug!(bytes, bytes_max = self.bytes_max, "compiled code is too large to be kept");
            return;
        }
        match self.put(path, code, bytes) {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            // Once, not for each of thousands of modules.
            Err(error) if self.failing.swap(true, Ordering::Relaxed) => {
                tracing::debug!(cause = %error, "compiled code cannot be kept in the cache");
            }
            Err(error) => tracing::warn!(
                folder = %self.folder.display(),
                "compiled code cannot be kept in the cache ({error:#}): the next start compiles again"
            ),
        }
    }

    fn put(&self, path: &Path, code: &[u8], bytes: u64) -> anyhow::Result<()> {
        // It may have been removed, or replaced, since it was opened.
        private(&self.folder)?;
        self.make_room(bytes)?;
        let suffix = format!(".{ASIDE}");
        let mut aside = tempfile::Builder::new().prefix("").suffix(&suffix).tempfile_in(&self.folder)?;
        aside.write_all(&checksum_of(path, code))?;
        aside.write_all(code)?;
        // Not synced: what a loss of power tears is found by the checksum.
        aside.persist(path)?;
        Ok(())
    }

    /// Removes what was not used for longest until so many bytes fit in.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |seen: u64, written: u64| {
            seen + written + bytes <= self.bytes_max && written <= self.bytes_max / LOOK_SHARE
        };
        if !usage.seen.is_some_and(|seen| fits(seen, usage.written)) {
            *usage = Usage { seen: Some(self.trim(bytes)?), written: 0 };
        }
        usage.written += bytes;
        Ok(())
    }

    /// Looks at the whole folder; returns the bytes left in it.
    fn trim(&self, room: u64) -> io::Result<u64> {
        let now = SystemTime::now();
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // One that another process has just removed is no failure.
            let Ok(meta) = entry.metadata() else { continue };
            let (path, modified) = (entry.path(), meta.modified()?);
            let age = now.duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
            let left_behind = path.extension().is_some_and(|extension| extension == ASIDE);
            if left_behind && age > ASIDE_AGE_MAX && fs::remove_file(&path).is_ok() {
                continue;
            }
            // A time ahead of the clock tells nothing of use, and what is too large is never read: such
            // entries go first, not never, nor after all the others.
            let plausible = modified <= now && meta.len() <= ENTRY_BYTES_MAX;
            entries.push((plausible, modified, meta.len(), path));
        }
        let mut left: u64 = entries.iter().map(|(_, _, bytes, _)| bytes).sum();
        if left + room <= self.bytes_max {
            return Ok(left);
        }
        entries.sort();
        let wanted = (self.bytes_max - self.bytes_max / TRIM_SHARE).saturating_sub(room);
        for (_, _, bytes, path) in entries {
            if left <= wanted {
                break;
            }
            if fs::remove_file(path).is_ok() {
                left -= bytes;
            }
        }
        Ok(left)
    }
}

/// Makes a folder that nobody else may write to, since what lies in it is run as it is.
///
/// # Errors
/// It cannot be made, or it is there and others can write to it.
fn private(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let meta = made.and_then(|()| fs::metadata(folder));
    let meta = meta.with_context(|| format!("the cache folder {shown} cannot be made"))?;
    if !by_us(&meta) {
        bail!(
            "the cache folder {shown} belongs to user {}, expected {}: what lies in it would be run",
            meta.uid(),
            rustix::process::geteuid().as_raw()
        );
    }
    if meta.mode() & WRITABLE_BY_OTHERS != 0 {
        bail!(
            "others can write to the cache folder {shown} (mode {:03o}), and what lies in it would be run; \
             remove it, or empty it and chmod 700 {shown}",
            meta.mode() & 0o777
        );
    }
    Ok(())
}

/// Whether a file belongs to this user, or to root, who may do anything anyway.
fn by_us(meta: &Metadata) -> bool {
    [rustix::process::geteuid().as_raw(), 0].contains(&meta.uid())
}

/// Reads an entry, and makes it one that was used just now.
///
/// # Errors
/// It is not there, or is not what was written.
fn whole(path: &Path) -> io::Result<Vec<u8>> {
    // Neither to follow a link nor to hang on a pipe.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    let unfit = |why: &str| Err(io::Error::other(why.to_owned()));
    if !meta.is_file() {
        return unfit("it is no regular file");
    }
    if !by_us(&meta) || meta.mode() & WRITABLE_BY_OTHERS != 0 {
        return unfit("others can write to it");
    }
    if meta.len() > ENTRY_BYTES_MAX {
        return unfit("it is too large");
    }
    let mut entry = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    (&file).take(meta.len()).read_to_end(&mut entry)?;
    let Some((checksum, code)) = entry.split_at_checked(CHECKSUM_BYTES) else {
        return unfit("it is cut short");
    };
    if *checksum_of(path, code) != *checksum {
        return unfit("it is damaged");
    }
    entry.drain(..CHECKSUM_BYTES);
    // Its age tells what was not used for longest; without it an entry only goes sooner.
    let _ = file.set_modified(SystemTime::now());
    Ok(entry)
}

/// Over the code and the name it is kept under, so that an entry under another's name is damaged too.
fn checksum_of(path: &Path, code: &[u8]) -> impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<> {
    let name = path.file_name().unwrap_or_default();
    Sha256::new().chain_update(name.as_encoded_bytes()).chain_update(code).finalize()
}

/// Compiles a component, or takes its code from the cache.
///
/// # Errors
/// It cannot be compiled.
pub fn component(shelf: Shelf<'_>, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
    kept(
        shelf,
        ("component", binary),
        // SAFETY: the checksum says that the bytes are those that `serialize` gave to a gateway of this user,
        // since nobody else can write to this folder; code of another engine or configuration is refused by
        // `deserialize` itself.
        |code| unsafe { Component::deserialize(engine, code) },
        || Component::from_binary(engine, binary),
        Component::serialize,
    )
}

/// As [`component`], for core modules.
///
/// # Errors
/// It cannot be compiled.
pub fn module(shelf: Shelf<'_>, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
    kept(
        shelf,
        ("module", binary),
        // SAFETY: as above.
        |code| unsafe { Module::deserialize(engine, code) },
        || Module::from_binary(engine, binary),
        Module::serialize,
    )
}

fn kept<T>(
    (cache, counts): Shelf<'_>,
    (kind, binary): (&str, &[u8]),
    load: impl Fn(&[u8]) -> wasmtime::Result<T>,
    compile: impl Fn() -> wasmtime::Result<T>,
    serialize: impl Fn(&T) -> wasmtime::Result<Vec<u8>>,
) -> wasmtime::Result<T> {
    let path = cache.map(|cache| cache.path(kind, binary));
    if let Some(path) = &path
        && let Some(code) = CodeCache::read(path)
    {
        match load(&code) {
            Ok(loaded) => {
                counts.hits.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(bytes = binary.len(), "{kind} taken from the cache");
                return Ok(loaded);
            }
            Err(error) => tracing::debug!(cause = %error, "compiled code in the cache does not load"),
        }
    }
    if cache.is_some() {
        counts.misses.fetch_add(1, Ordering::Relaxed);
    }
    let start = Instant::now();
    let compiled = compile();
    let took = start.elapsed();
    counts.compiled(took);
    let compiled = compiled?;
    let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(bytes = binary.len(), elapsed_ms, "{kind} compiled in {elapsed_ms} ms");
    if let (Some(cache), Some(path)) = (cache, path) {
        cache.write(&path, &serialize(&compiled)?);
    }
    Ok(compiled)
}

/// SHA-256 of what a type feeds to a standard hasher.
struct Hashed(Sha256);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
