//! The tasks of a soak, and the changes that are made to them meanwhile.
//!
//! One task per kind of client, so that each kind's calls are counted apart. Which client calls what stands in
//! `clients.rs`.

use crate::folder::{Folder, guest, root};
use anyhow::Context as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Adds; `{version}` makes each version another module.
const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
  (i32.add (local.get 0) (local.get 1))) (func (export "version") (result i32) (i32.const {version})))"#;
const ADD_MANIFEST: &str = "[functions.add]\nparams = [\"a\", \"b\"]\n";

const LOOP: &str = r#"(module (func (export "run") (loop $again (br $again))))"#;
const TRAP: &str = r#"(module (func (export "run") unreachable))"#;
const DEEP: &str = r#"(module (func $run (export "run") (call $run)))"#;
const HOG: &str = r#"(module (memory 1) (func (export "run")
  (loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) unreachable))"#;

/// What the tasks are written in, and what limits they have.
const WRITTEN: &[(&str, &str, &str)] = &[
    ("slow", ADD, ADD_MANIFEST),
    ("picky", ADD, ADD_MANIFEST),
    ("trap", TRAP, ""),
    ("deep", DEEP, ""),
    ("hog", HOG, "[limits]\nmemory = \"8MiB\"\n"),
    ("spin", LOOP, "[limits]\ncpu = \"20ms\"\n"),
    ("looping", LOOP, "[limits]\nwall = \"10m\"\ncpu = \"5m\"\n"),
    ("queued", LOOP, "[limits]\nwall = \"10m\"\ncpu = \"5m\"\nconcurrency = 1\nqueue_wait = \"1m\"\n"),
];

/// Copies of the sample task that sleeps.
const SLEEPERS: &[(&str, &str)] = &[
    ("nap", "[limits]\nwall = \"1m\"\n"),
    ("late", "[limits]\nwall = \"50ms\"\n"),
    ("flood", "[limits]\nconcurrency = 2\nqueue = 4\nqueue_wait = \"100ms\"\n"),
];

/// Copies of the guest of streams.
const STREAMERS: &[&str] = &["flowing", "cut"];

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(500);

/// The folder with all of them.
pub fn make() -> anyhow::Result<Folder> {
    let folder = Folder::empty()?;
    let tasks = folder.tasks();
    put(&tasks, "good.wat", &ADD.replace("{version}", "0"))?;
    put(&tasks, "good.toml", ADD_MANIFEST)?;
    for (name, module, manifest) in WRITTEN {
        put(&tasks, &format!("{name}.wat"), &module.replace("{version}", "0"))?;
        put(&tasks, &format!("{name}.toml"), manifest)?;
    }
    for (name, manifest) in SLEEPERS {
        copy(&root().join("tasks/sleep.wasm"), &tasks.join(format!("{name}.wasm")))?;
        put(&tasks, &format!("{name}.toml"), manifest)?;
    }
    for name in STREAMERS {
        copy(&guest("http-p2.wasm"), &tasks.join(format!("{name}.wasm")))?;
    }
    Ok(folder)
}

/// Changes the folder until `end`: new versions of `good`, a task `fleeting` that comes, goes and is broken. How
/// many changes were made.
pub fn change(tasks: &Path, first: u64, end: Instant) -> anyhow::Result<u64> {
    let mut count = first;
    while Instant::now() < end {
        count += 1;
        put(tasks, "good.wat", &ADD.replace("{version}", &count.to_string()))?;
        let fleeting = tasks.join("fleeting.wat");
        match count % 4 {
            0 => put(tasks, "fleeting.wat", &ADD.replace("{version}", &count.to_string()))?,
            1 => put(tasks, "fleeting.wat", "(module (func (export \"add\")")?,
            2 => put(tasks, "fleeting.wat", &ADD.replace("{version}", "0"))?,
            _ if fleeting.exists() => std::fs::remove_file(&fleeting).context("removing a task")?,
            _ => {}
        }
        std::thread::sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(count - first)
}

/// Puts a file in place at once, as `mv` does.
fn put(tasks: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let aside = tasks.join(format!(".{name}.new"));
    std::fs::write(&aside, text)
        .and_then(|()| std::fs::rename(&aside, tasks.join(name)))
        .with_context(|| format!("writing {name}"))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to)
        .with_context(|| format!("{} is not built; run just build-tasks", from.display()))?;
    Ok(())
}
