//! What the machine gives and what each call gets of it: slots, memory, folders, limits.
//!
//! Where a flag says nothing, the machine is asked. How runs are made is not known here.

use super::flags::Flags;
use super::reader::{Reader, THREADS_MAX};
use crate::limits::{self, Ceilings, Limits, MIB, WEIGHT_MAX};
use crate::runtime::engine::{self, Runs};
use std::path::PathBuf;

/// One part in so many of the machine's memory is for what is not counted, without a word about it. Not
/// more: what is counted is what runs may touch, and 10,000 parked calls of a Rust task may touch 20 GiB.
const MEMORY_PARTS: u64 = 8;

/// Least and most wasm stack in bytes: below it Rust's own start-up overflows, above it 10,000
/// stacks no longer fit the address space.
const STACK_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(64 << 20);

pub(super) fn engine_settings(flags: &Flags, modules: usize, reader: &mut Reader) -> engine::Settings {
    let machine = Runs::for_this_machine(modules);
    let runs = match &flags.max_runs {
        None => machine,
        Some(text) => {
            let parsed = text
                .parse::<usize>()
                .map_err(|_| format!("found {text:?}, expected a whole number"))
                .and_then(|count| machine.with_count(count));
            reader.read("max-runs", machine, parsed)
        }
    };
    let stack = limits::parse_bytes(&flags.stack).and_then(|bytes| {
        if STACK_BYTES.contains(&bytes) {
            Ok(bytes)
        } else {
            Err(format!("found {:?}, expected 64KiB to 64MiB", flags.stack))
        }
    });
    engine::Settings {
        runs,
        stack_bytes: usize::try_from(reader.read("stack", 1 << 20, stack))
            .unwrap_or(engine::STACK_BYTES_DEFAULT),
        cache: reader.read("cache", None, cache_folder(flags.cache.as_deref())),
        cache_bytes_max: reader.size("cache-size", &flags.cache_size),
        compile_threads: reader.count("compile-threads", &flags.compile_threads, 1..=THREADS_MAX),
    }
}

/// Bytes that all calls together may hold.
pub(super) fn memory_bytes(flags: &Flags, engine: &engine::Settings, reader: &mut Reader) -> u64 {
    match &flags.memory_budget {
        // Whole mebibytes, since people read it.
        None => (engine.runs.memory_bytes / MEMORY_PARTS * (MEMORY_PARTS - 1)) / MIB * MIB,
        Some(text) => reader.size("memory-budget", text),
    }
}

pub(super) fn default_limits(flags: &Flags, reader: &mut Reader) -> Limits {
    Limits {
        wall: reader.time("wall", &flags.wall),
        cpu: reader.time("cpu", &flags.cpu),
        memory: reader.size("memory", &flags.memory),
        input: reader.size("input", &flags.input),
        output: reader.size("output", &flags.output),
        stream: flags.stream.as_ref().map(|text| reader.size("stream", text)),
        concurrency: reader.count("concurrency", &flags.concurrency, 1..=usize::MAX),
        queue: reader.count("queue", &flags.queue, 0..=usize::MAX),
        queue_wait: reader.time("queue-wait", &flags.queue_wait),
        weight: reader.count("weight", &flags.weight, 1..=WEIGHT_MAX),
    }
}

pub(super) fn ceilings(flags: &Flags, reader: &mut Reader) -> Ceilings {
    Ceilings(Limits {
        wall: reader.time("max-wall", &flags.max_wall),
        cpu: reader.time("max-cpu", &flags.max_cpu),
        memory: reader.size("max-memory", &flags.max_memory),
        input: reader.size("max-input", &flags.max_input),
        output: reader.size("max-output", &flags.max_output),
        stream: flags.max_stream.as_ref().map(|text| reader.size("max-stream", text)),
        concurrency: reader.count("max-concurrency", &flags.max_concurrency, 1..=usize::MAX),
        queue: reader.count("max-queue", &flags.max_queue, 0..=usize::MAX),
        queue_wait: reader.time("max-queue-wait", &flags.max_queue_wait),
        weight: reader.count("max-weight", &flags.max_weight, 1..=WEIGHT_MAX),
    })
}

pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match std::fs::read_dir(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            let remedy = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("make it with `mkdir {text}`, or name another folder")
                }
                std::io::ErrorKind::PermissionDenied => "let this user read it".to_owned(),
                _ => "name a folder".to_owned(),
            };
            Err(format!("cannot read the tasks folder {text:?}: {error}; {remedy}"))
        }
    }
}

/// The folder named, or `unblock` in the user's cache folder (XDG Base Directory Specification).
fn cache_folder(text: Option<&str>) -> Result<Option<PathBuf>, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match text {
        Some("off") => Ok(None),
        Some("") => Err("found nothing, expected a folder or \"off\"".to_owned()),
        Some(text) => Ok(Some(PathBuf::from(text))),
        None => Ok(variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .map(|cache| cache.join("unblock"))),
    }
}
