//! A folder of tasks made for one run of the benchmark, with a compile cache beside it.
//!
//! Gone when dropped. The modules are the sample task `sleep` as it was built, the guest of
//! `bench/guest`, and some lines of WAT each for adding, computing and looping.

use anyhow::Context as _;
use std::path::{Path, PathBuf};

const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
  (i32.add (local.get 0) (local.get 1))))"#;

const ADD_MANIFEST: &str = "[functions.add]\nparams = [\"a\", \"b\"]\n";

const LOOP: &str = r#"(module (func (export "run") (loop $again (br $again))))"#;

/// Endless calls must outlast the row that makes them, and there are many.
const LOOP_MANIFEST: &str = "[limits]\nwall = \"10m\"\ncpu = \"5m\"\nconcurrency = 5000\nqueue = 5000\n";

/// As many steps of a xorshift generator as asked for: `children/native.rs` has the same.
const MIX: &str = r#"(module (func (export "mix") (param $n i32) (result i32) (local $x i32)
  (local.set $x (i32.const 1))
  (block $done (loop $next
    (br_if $done (i32.eqz (local.get $n)))
    (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
    (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
    (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
    (br $next)))
  (local.get $x)))"#;

const MIX_MANIFEST: &str = "[functions.mix]\nparams = [\"n\"]\n";

/// What the guests of the tests are called here: a wasi:http handler and a command.
const GUESTS: [(&str, &str); 2] = [("http-p2.wasm", "visit.wasm"), ("command.wasm", "command.wasm")];

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where `tasks/build.sh` puts a guest of the tests.
pub fn guest(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("guests").join(name)
}

/// The folder.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Without a task.
    pub fn empty() -> anyhow::Result<Self> {
        let folder = Self(tempfile::tempdir().context("making a folder")?);
        std::fs::create_dir(folder.tasks())?;
        std::fs::create_dir(folder.path().join("cache"))?;
        Ok(folder)
    }

    /// With `add` alone.
    pub fn one() -> anyhow::Result<Self> {
        let folder = Self::empty()?;
        folder.write("add.wat", ADD)?;
        folder.write("add.toml", ADD_MANIFEST)?;
        Ok(folder)
    }

    /// With `add`, `add-std`, `loop` and `sleep`.
    pub fn new() -> anyhow::Result<Self> {
        let folder = Self::one()?;
        folder.write("loop.wat", LOOP)?;
        folder.write("loop.toml", LOOP_MANIFEST)?;
        folder.copy(root().join("bench/add-std.wasm"))?;
        folder.copy(root().join("tasks/sleep.wasm"))?;
        folder.copy(root().join("tasks/sleep.toml"))?;
        Ok(folder)
    }

    /// Adds `mix`.
    pub fn mix(&self) -> anyhow::Result<()> {
        self.write("mix.wat", MIX)?;
        self.write("mix.toml", MIX_MANIFEST)
    }

    /// Adds a file of the sample tasks.
    pub fn sample(&self, name: &str) -> anyhow::Result<()> {
        self.copy(root().join("tasks").join(name))
    }

    /// Adds the guests that take whole requests: `visit` and `command`.
    pub fn guests(&self) -> anyhow::Result<()> {
        for (from, to) in GUESTS {
            let from = guest(from);
            std::fs::copy(&from, self.tasks().join(to))
                .with_context(|| format!("{} is not built; run bench/build.sh", from.display()))?;
        }
        Ok(())
    }

    /// Adds a guest of the benchmark's own.
    pub fn guest_of_bench(&self, name: &str) -> anyhow::Result<()> {
        self.copy(root().join("bench").join(format!("{name}.wasm")))
    }

    /// Adds small modules, each different, until there are `count` tasks.
    pub fn fill(&self, count: usize) -> anyhow::Result<()> {
        for index in 4..count {
            let text = format!(r#"(module (func (export "get") (result i32) (i32.const {index})))"#);
            self.write(&format!("filler-{index}.wat"), &text)?;
        }
        Ok(())
    }

    /// The folder of the tasks in it.
    pub fn tasks(&self) -> PathBuf {
        self.path().join("tasks")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.tasks().join(name), text).with_context(|| format!("writing {name}"))
    }

    fn copy(&self, from: PathBuf) -> anyhow::Result<()> {
        let name = from.file_name().unwrap_or_default();
        std::fs::copy(&from, self.tasks().join(name))
            .with_context(|| format!("{} is not built; run bench/build.sh", from.display()))?;
        Ok(())
    }
}
