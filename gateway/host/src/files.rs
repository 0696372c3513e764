//! Files of granted directories: what is opened is a file or a directory, and nothing else.
//!
//! WASI keeps paths inside of their directory; this file adds that opening never blocks a thread. A
//! FIFO without a writer would, for ever, so `open-at` of both versions is replaced by one that looks
//! before it opens and opens without blocking: whatever is put in between in the meantime cannot hold
//! it. What is refused for want of a grant is noted. Runs on tokio's threads for files, never on a
//! worker. Knows no manifest.

use crate::grants::{Dir as Granted, Refusal};
use crate::host::Host;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::any::Any;
use std::io;
use std::sync::{Arc, Weak};
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::filesystem::{
    Descriptor, Dir, File, WasiFilesystem, WasiFilesystemCtxView, WasiFilesystemView as _,
};
use wasmtime_wasi::p2::bindings::filesystem as p2;
use wasmtime_wasi::p3::bindings::filesystem as p3;
use wasmtime_wasi::{FsPerms, OpenMode, runtime};

/// Mode of new files; the process's umask applies.
const NEW_FILE_MODE: u32 = 0o666;

/// Files and directories one run may hold open: above what databases and compilers use, and a fraction of
/// what a process may, whose other file descriptors are its callers' connections.
pub(crate) const OPEN_MAX: usize = 256;

/// Tries of a look-up that a rename somewhere on the machine interrupts (`openat2(2)`).
const TRIES_MAX: usize = 8;

/// Paths do not leave their directory, also not through links.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// The interfaces as wasmtime links them.
const TYPES: [&str; 2] = ["wasi:filesystem/types@0.2.12", "wasi:filesystem/types@0.3.0"];
const PREOPENS: [&str; 2] = ["wasi:filesystem/preopens@0.2.12", "wasi:filesystem/preopens@0.3.0"];

/// Replaces what opens files, and what tells a guest its directories. Shadowing must be allowed.
///
/// # Errors
/// The interfaces are not those that wasmtime links.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let [types_p2, types_p3] = TYPES;
    linker.instance(types_p2)?.func_wrap_async("[method]descriptor.open-at", |mut store, params| {
        Box::new(async move { Ok((open_p2(store.data_mut(), params).await?,)) })
    })?;
    linker.instance(types_p3)?.func_wrap_concurrent("[method]descriptor.open-at", |store, params| {
        Box::pin(async move { Ok((open_p3(store, params).await?,)) })
    })?;
    for preopens in PREOPENS {
        linker.instance(preopens)?.func_wrap_async("get-directories", |mut store, (): ()| {
            Box::new(async move { Ok((directories(store.data_mut()).await?,)) })
        })?;
    }
    Ok(())
}

/// The error of a run whose directory was there when the task was loaded.
#[derive(Debug, thiserror::Error)]
#[error("the directory granted as {guest:?} cannot be opened: {error}")]
pub struct DirectoryGone {
    pub(crate) guest: String,
    pub(crate) error: Errno,
}

/// Opens what is granted. Done when the guest asks for it, since most never do.
async fn directories(host: &mut Host) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
    let grants = Arc::clone(&host.grants);
    if grants.dirs.is_empty() {
        host.refused.note(Refusal::NoDirectory);
        return Ok(Vec::new());
    }
    let opened: Result<Vec<(Dir, String)>, DirectoryGone> =
        runtime::spawn_blocking(move || grants.dirs.iter().map(directory).collect()).await;
    let mut directories = Vec::new();
    for (dir, guest) in opened? {
        directories.push((host.table.push(Descriptor::Dir(dir))?, guest));
    }
    Ok(directories)
}

fn directory(granted: &Granted) -> Result<(Dir, String), DirectoryGone> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let guest = granted.guest.clone();
    match rustix::fs::open(&granted.host, flags, Mode::empty()) {
        Ok(dir) if granted.write => {
            let mode = OpenMode::READ | OpenMode::WRITE;
            Ok((Dir::new(dir.into(), FsPerms::ReadWrite, mode, false), guest))
        }
        Ok(dir) => Ok((Dir::new(dir.into(), FsPerms::ReadOnly, OpenMode::READ, false), guest)),
        Err(error) => Err(DirectoryGone { guest, error }),
    }
}

/// What a run holds open.
#[derive(Default)]
pub(crate) struct Open(Vec<Weak<dyn Any + Send + Sync>>);

impl Open {
    /// Whether there is room for one more.
    fn admits(&mut self) -> bool {
        if self.0.len() >= OPEN_MAX {
            self.0.retain(|file| file.strong_count() > 0);
        }
        self.0.len() < OPEN_MAX
    }

    fn add(&mut self, descriptor: &Descriptor) {
        let file = match descriptor {
            Descriptor::File(file) => Arc::downgrade(&file.file),
            Descriptor::Dir(dir) => Arc::downgrade(&dir.dir),
        };
        self.0.push(file);
    }
}

/// What is to be opened, in the words of both versions.
struct Wish {
    path: String,
    follow: bool,
    create: bool,
    directory: bool,
    exclusive: bool,
    truncate: bool,
    read: bool,
    write: bool,
}

/// What became of a wish.
enum Opened {
    /// This is it.
    Is(Descriptor),
    /// The system cannot keep a path inside of its directory by itself; wasmtime can.
    Elsewhere,
}

type ParamsP2 =
    (Resource<Descriptor>, p2::types::PathFlags, String, p2::types::OpenFlags, p2::types::DescriptorFlags);
type ParamsP3 =
    (Resource<Descriptor>, p3::types::PathFlags, String, p3::types::OpenFlags, p3::types::DescriptorFlags);

async fn open_p2(
    host: &mut Host,
    (fd, path_flags, path, open_flags, flags): ParamsP2,
) -> wasmtime::Result<Result<Resource<Descriptor>, p2::types::ErrorCode>> {
    use p2::types::{DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags};
    let sync = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(sync) {
        return Ok(Err(ErrorCode::Unsupported));
    }
    if !host.open.admits() {
        return Ok(Err(ErrorCode::InsufficientMemory));
    }
    let Descriptor::Dir(dir) = host.table.get(&fd)? else { return Ok(Err(ErrorCode::NotDirectory)) };
    let wish = Wish {
        path: path.clone(),
        follow: path_flags.contains(PathFlags::SYMLINK_FOLLOW),
        create: open_flags.contains(OpenFlags::CREATE),
        directory: open_flags.contains(OpenFlags::DIRECTORY),
        exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
        truncate: open_flags.contains(OpenFlags::TRUNCATE),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
    };
    let refused = host.refused.clone();
    let opened = wish.open(dir.clone(), |refusal| refused.note(refusal)).await;
    match opened {
        Ok(Opened::Is(descriptor)) => {
            host.open.add(&descriptor);
            Ok(Ok(host.table.push(descriptor)?))
        }
        Err(error) => Ok(Err(ErrorCode::from(&error))),
        Ok(Opened::Elsewhere) => {
            let mut files = host.filesystem();
            let borrowed = |fd: &Resource<Descriptor>| Resource::new_borrow(fd.rep());
            let seen = files.stat_at(borrowed(&fd), path_flags, path.clone()).await;
            if seen.is_ok_and(|seen| {
                !matches!(
                    seen.type_,
                    DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink
                )
            }) {
                host.refused.note(Refusal::SpecialFile(path));
                return Ok(Err(ErrorCode::NotPermitted));
            }
            match files.open_at(fd, path_flags, path, open_flags, flags).await {
                Ok(fd) => Ok(Ok(fd)),
                Err(error) => Ok(Err(error.downcast()?)),
            }
        }
    }
}

async fn open_p3(
    store: &Accessor<Host>,
    (fd, path_flags, path, open_flags, flags): ParamsP3,
) -> wasmtime::Result<Result<Resource<Descriptor>, p3::types::ErrorCode>> {
    use p3::types::{
        DescriptorFlags, DescriptorType, ErrorCode, HostDescriptorWithStore as _, OpenFlags, PathFlags,
    };
    let sync = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(sync) {
        return Ok(Err(ErrorCode::Unsupported));
    }
    let (descriptor, refused, admitted) = store.with(|mut access| {
        let host = access.data_mut();
        let admitted = host.open.admits();
        host.table.get(&fd).map(|descriptor| (descriptor.clone(), host.refused.clone(), admitted))
    })?;
    if !admitted {
        return Ok(Err(ErrorCode::InsufficientMemory));
    }
    let Descriptor::Dir(dir) = descriptor else { return Ok(Err(ErrorCode::NotDirectory)) };
    let wish = Wish {
        path: path.clone(),
        follow: path_flags.contains(PathFlags::SYMLINK_FOLLOW),
        create: open_flags.contains(OpenFlags::CREATE),
        directory: open_flags.contains(OpenFlags::DIRECTORY),
        exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
        truncate: open_flags.contains(OpenFlags::TRUNCATE),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
    };
    match wish.open(dir, |refusal| refused.note(refusal)).await {
        Ok(Opened::Is(descriptor)) => {
            let pushed = store.with(|mut access| {
                let host = access.data_mut();
                host.open.add(&descriptor);
                host.table.push(descriptor)
            });
            Ok(Ok(pushed?))
        }
        Err(error) => Ok(Err(ErrorCode::from(&error))),
        Ok(Opened::Elsewhere) => {
            let files = store.with_getter::<WasiFilesystem>(view);
            let borrowed = Resource::new_borrow(fd.rep());
            let seen = WasiFilesystem::stat_at(&files, borrowed, path_flags, path.clone()).await;
            if seen.is_ok_and(|seen| {
                !matches!(
                    seen.type_,
                    DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink
                )
            }) {
                refused.note(Refusal::SpecialFile(path));
                return Ok(Err(ErrorCode::NotPermitted));
            }
            match WasiFilesystem::open_at(&files, fd, path_flags, path, open_flags, flags).await {
                Ok(fd) => Ok(Ok(fd)),
                Err(error) => Ok(Err(error.downcast()?)),
            }
        }
    }
}

fn view(host: &mut Host) -> WasiFilesystemCtxView<'_> {
    host.filesystem()
}

impl Wish {
    /// Opens it in `dir`, on a thread for files.
    async fn open(self, dir: Dir, note: impl Fn(Refusal)) -> io::Result<Opened> {
        if self.directory && (self.create || self.exclusive || self.truncate) {
            return Err(Errno::INVAL.into());
        }
        let write = self.create || self.truncate || self.write;
        if write && dir.perms.write_not_permitted() {
            note(Refusal::ReadOnly(self.path));
            return Err(Errno::PERM.into());
        }
        let (perms, path) = (dir.perms, self.path.clone());
        // WASI wants a file that is only created to be readable as well.
        let read = self.read || !self.write;
        let mode = match (read, write) {
            (true, true) => OpenMode::READ | OpenMode::WRITE,
            (false, true) => OpenMode::WRITE,
            _ => OpenMode::READ,
        };
        let folder = Arc::clone(&dir.dir);
        let opened = runtime::spawn_blocking(move || self.open_blocking(&*folder, read, write)).await;
        Ok(match opened {
            Ok(Found::File(file)) => Opened::Is(Descriptor::File(File::new(file.into(), perms, mode, false))),
            Ok(Found::Directory(dir)) => {
                Opened::Is(Descriptor::Dir(Dir::new(dir.into(), perms, mode, false)))
            }
            Ok(Found::Special) => {
                note(Refusal::SpecialFile(path));
                return Err(Errno::PERM.into());
            }
            Ok(Found::NotLooked) => Opened::Elsewhere,
            // The way out of a directory is closed, which WASI tells as "not permitted".
            Err(Errno::XDEV) => return Err(Errno::PERM.into()),
            Err(error) => return Err(error.into()),
        })
    }

    fn open_blocking(&self, dir: impl rustix::fd::AsFd, read: bool, write: bool) -> Result<Found, Errno> {
        let follow = if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        // Looking opens nothing, so a device notices nothing.
        match beneath(&dir, &self.path, OFlags::PATH | follow) {
            Ok(seen) if is_special(&seen)? => return Ok(Found::Special),
            Ok(_) => {}
            Err(Errno::NOENT) if self.create => {}
            // An old kernel, or one that is told to look like it.
            Err(Errno::NOSYS | Errno::PERM) => return Ok(Found::NotLooked),
            Err(error) => return Err(error),
        }
        let mut flags = follow | OFlags::NONBLOCK | OFlags::NOCTTY;
        flags |= match (read, write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        flags.set(OFlags::CREATE, self.create);
        flags.set(OFlags::EXCL, self.create && self.exclusive);
        flags.set(OFlags::TRUNC, self.truncate && !(self.create && self.exclusive));
        let opened = match beneath(&dir, &self.path, flags) {
            // A FIFO or socket that was put there after the look.
            Err(Errno::NXIO) => return Ok(Found::Special),
            opened => opened?,
        };
        match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
            FileType::RegularFile if self.directory => Err(Errno::NOTDIR),
            FileType::RegularFile => Ok(Found::File(opened)),
            FileType::Directory => Ok(Found::Directory(opened)),
            _ => Ok(Found::Special),
        }
    }
}

/// What lay there.
enum Found {
    File(OwnedFd),
    Directory(OwnedFd),
    Special,
    NotLooked,
}

fn is_special(seen: &OwnedFd) -> Result<bool, Errno> {
    let kind = FileType::from_raw_mode(fstat(seen)?.st_mode);
    Ok(!matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Symlink))
}

fn beneath(dir: impl rustix::fd::AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mode =
        if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(NEW_FILE_MODE) } else { Mode::empty() };
    let mut tried = 0;
    loop {
        tried += 1;
        match openat2(&dir, path, flags | OFlags::CLOEXEC, mode, BENEATH) {
            Err(Errno::AGAIN) if tried < TRIES_MAX => {}
            opened => return opened,
        }
    }
}
