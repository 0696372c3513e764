//! WASI preview 1, and preview 0 before it, for core modules: programs and libraries of any language.
//!
//! wasmtime's own implementation on top of WASI 0.2, with four differences: what is opened is looked
//! at first, a run holds a bounded number of files, one call does a bounded number of things, and every
//! exit code counts. Core modules run as
//! they are, not through the adapter that makes components of them: it keeps its state in pages that it
//! adds to the guest's memory, which allocators that own all of it (Go's) then overwrite.
//!
//! Looking and opening are two steps here, since the implementation hides what its descriptors stand
//! for (decisions/007 says what follows). Knows no tasks and no manifest.

use crate::files::{DirectoryGone, OPEN_MAX};
use crate::grants::{Dir, Grants, Refusal};
use crate::host::Host;
use rustix::io::Errno as SystemErrno;
use std::sync::Arc;
use wasmtime::{AsContextMut as _, Caller, Engine, Extern, Linker};
use wasmtime_wasi::p0::wasi_unstable::poll_oneoff as p0_poll_oneoff;
use wasmtime_wasi::p1::types::{Errno, Fd, Filetype, Lookupflags, Oflags, Rights};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{
    WasiSnapshotPreview1 as _, fd_pread, fd_prestat_get, fd_pwrite, fd_read, fd_write, path_open, poll_oneoff,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder, p0, runtime};
use wiggle::{GuestMemory, GuestPtr};

/// The modules that programs of preview 1 and 0 import their functions from.
pub const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Descriptors before the first directory: the standard streams.
const STREAMS: u32 = 3;

/// Events that one poll may wait for. The host makes something of each before it waits for any, and asks
/// nobody meanwhile: half a million held a worker for a second. Runtimes poll a few at once.
const SUBSCRIPTIONS_MAX: i32 = 4096;

/// Buffers of one read or write that are looked at, as many as POSIX systems take (`IOV_MAX`). The first
/// that is not empty is the one that is used.
const BUFFERS_MAX: i32 = 1024;

/// Everything a core module may import.
///
/// # Errors
/// Two of them define the same name, which is a fault of this file.
pub fn core_linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, Host::preview1)?;
    p0::add_to_linker_async(&mut linker, Host::preview1)?;
    linker.allow_shadowing(true);
    let [_, preview0] = MODULES;
    for module in MODULES {
        // What is replaced takes the same numbers in both versions.
        linker.func_wrap_async(module, "path_open", |caller: Caller<'_, Host>, params: Open| {
            Box::new(opened(caller, params))
        })?;
        linker.func_wrap(module, "fd_prestat_get", prestat)?;
        linker.func_wrap_async(module, "fd_write", |mut caller: Caller<'_, Host>, params: Transfer| {
            Box::new(async move {
                let (fd, buffers, count, out) = params;
                let (mut memory, host) = parts(&mut caller)?;
                fd_write(host.preview1(), &mut memory, fd, buffers, at_most(count), out).await
            })
        })?;
        linker.func_wrap_async(module, "fd_read", |mut caller: Caller<'_, Host>, params: Transfer| {
            Box::new(async move {
                let (fd, buffers, count, out) = params;
                let (mut memory, host) = parts(&mut caller)?;
                fd_read(host.preview1(), &mut memory, fd, buffers, at_most(count), out).await
            })
        })?;
        linker.func_wrap_async(module, "fd_pwrite", |mut caller: Caller<'_, Host>, params: TransferAt| {
            Box::new(async move {
                let (fd, buffers, count, offset, out) = params;
                let (mut memory, host) = parts(&mut caller)?;
                fd_pwrite(host.preview1(), &mut memory, fd, buffers, at_most(count), offset, out).await
            })
        })?;
        linker.func_wrap_async(module, "fd_pread", |mut caller: Caller<'_, Host>, params: TransferAt| {
            Box::new(async move {
                let (fd, buffers, count, offset, out) = params;
                let (mut memory, host) = parts(&mut caller)?;
                fd_pread(host.preview1(), &mut memory, fd, buffers, at_most(count), offset, out).await
            })
        })?;
        linker.func_wrap_async(
            module,
            "poll_oneoff",
            move |mut caller: Caller<'_, Host>, params: Poll| {
                Box::new(async move {
                    let (subscriptions, events, count, out) = params;
                    if !(0..=SUBSCRIPTIONS_MAX).contains(&count) {
                        return Ok(Errno::Inval as i32);
                    }
                    let (mut memory, host) = parts(&mut caller)?;
                    let (wasi, memory) = (host.preview1(), &mut memory);
                    // Subscriptions are laid out differently in preview 0.
                    if module == preview0 {
                        p0_poll_oneoff(wasi, memory, subscriptions, events, count, out).await
                    } else {
                        poll_oneoff(wasi, memory, subscriptions, events, count, out).await
                    }
                })
            },
        )?;
        // wasmtime's takes codes below 126 only, shells and C programs use all eight bits.
        linker.func_wrap(module, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(I32Exit(code).into())
        })?;
    }
    linker.allow_shadowing(false);
    Ok(linker)
}

/// Opens what is granted, on a thread for files.
///
/// # Errors
/// A directory is gone.
pub(crate) async fn with_directories(
    mut wasi: WasiCtxBuilder,
    grants: Arc<Grants>,
) -> Result<WasiP1Ctx, DirectoryGone> {
    runtime::spawn_blocking(move || {
        for dir in &grants.dirs {
            preopen(&mut wasi, dir)?;
        }
        Ok(wasi.build_p1())
    })
    .await
}

fn preopen(builder: &mut WasiCtxBuilder, dir: &Dir) -> Result<(), DirectoryGone> {
    let perms = if dir.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
    let opened = builder.preopened_dir(&dir.host, &dir.guest, perms);
    opened.map(|_| ()).map_err(|error| {
        let error = error.downcast_ref().and_then(SystemErrno::from_io_error).unwrap_or(SystemErrno::IO);
        DirectoryGone { guest: dir.guest.clone(), error }
    })
}

/// The guest's memory and the store's data, as the implementation takes them.
fn parts<'a>(caller: &'a mut Caller<'_, Host>) -> wasmtime::Result<(GuestMemory<'a>, &'a mut Host)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("a program of WASI has to export its memory as \"memory\""));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (bytes, host) = memory.data_and_store_mut(caller);
    host.preview1().set_hostcall_fuel(fuel);
    Ok((GuestMemory::Unshared(bytes), host))
}

/// The parameters of `fd_read` and `fd_write`.
type Transfer = (i32, i32, i32, i32);

/// The parameters of `fd_pread` and `fd_pwrite`.
type TransferAt = (i32, i32, i32, i64, i32);

/// The parameters of `poll_oneoff`.
type Poll = (i32, i32, i32, i32);

/// A number of buffers, which is unsigned, cut to what is looked at.
fn at_most(count: i32) -> i32 {
    if (0..=BUFFERS_MAX).contains(&count) { count } else { BUFFERS_MAX }
}

/// The parameters of `path_open`.
type Open = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

async fn opened(mut caller: Caller<'_, Host>, params: Open) -> wasmtime::Result<i32> {
    let (dir, lookup, start, length, oflags, base, inheriting, fdflags, out) = params;
    let (mut memory, host) = parts(&mut caller)?;
    let path = GuestPtr::<str>::new((start.cast_unsigned(), length.cast_unsigned()));
    if let Ok(flags) = Lookupflags::try_from(lookup) {
        let seen = host.preview1().path_filestat_get(&mut memory, Fd::from(dir), flags, path).await;
        let special = match seen {
            Ok(seen) => {
                !matches!(seen.filetype, Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink)
            }
            // Of the rest opening tells why; a socket has no errno here.
            Err(error) => error.downcast().is_err(),
        };
        if special {
            host.refused.note(Refusal::SpecialFile(text(&memory, path)));
            return Ok(Errno::Perm as i32);
        }
    }
    let code = path_open(
        host.preview1(),
        &mut memory,
        dir,
        lookup,
        start,
        length,
        oflags,
        base,
        inheriting,
        fdflags,
        out,
    )
    .await?;
    if code == Errno::Success as i32 {
        // The lowest free number is given, so that the number tells how many are open.
        let fd = memory.read(GuestPtr::<u32>::new(out.cast_unsigned()))?;
        if (fd - STREAMS) as usize >= OPEN_MAX + host.grants.dirs.len() {
            let _ = host.preview1().fd_close(&mut memory, Fd::from(fd)).await;
            return Ok(Errno::Mfile as i32);
        }
    }
    if code == Errno::Badf as i32 && host.grants.dirs.is_empty() {
        host.refused.note(Refusal::NoDirectory);
    }
    if code == Errno::Perm as i32 && changes(oflags, base) && host.grants.dirs.iter().any(|dir| !dir.write) {
        host.refused.note(Refusal::ReadOnly(text(&memory, path)));
    }
    Ok(code)
}

/// Whether a file is opened to be written, or created.
fn changes(oflags: i32, base: i64) -> bool {
    let creates = Oflags::try_from(oflags).is_ok_and(|flags| flags.intersects(Oflags::CREAT | Oflags::TRUNC));
    creates || Rights::try_from(base).is_ok_and(|rights| rights.contains(Rights::FD_WRITE))
}

fn text(memory: &GuestMemory<'_>, path: GuestPtr<str>) -> String {
    memory.as_cow_str(path).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn prestat(mut caller: Caller<'_, Host>, fd: i32, out: i32) -> wasmtime::Result<i32> {
    let (mut memory, host) = parts(&mut caller)?;
    let code = fd_prestat_get(host.preview1(), &mut memory, fd, out)?;
    // Go's programs ask whether they need files or not.
    if host.grants.dirs.is_empty() && !host.asks_at_start {
        host.refused.note(Refusal::NoDirectory);
    }
    Ok(code)
}
