//! A manifest's bytes → settings or mistakes, each of which says where and what; and onto a module.
//!
//! Read with `load_file`, beside a module of one function, as the tasks folder does.

use super::config;
use super::module::Bench;
use gateway::registry;
use std::sync::LazyLock;

static BENCH: LazyLock<(Bench, registry::Settings)> = LazyLock::new(|| {
    let bench = Bench::new();
    let module = r#"(module (func (export "add") (param i32 i32) (result i32) i32.const 0))"#;
    std::fs::write(bench.folder.path().join("beside.wat"), module).expect("a module");
    let settings = config(bench.folder.path()).registry;
    (bench, settings)
});

pub(super) fn feed(input: &[u8]) {
    let (bench, settings) = &*BENCH;
    std::fs::write(bench.folder.path().join("beside.toml"), input).expect("a manifest");
    match registry::load_file(&bench.folder.path().join("beside.wat"), settings, &bench.loader) {
        Ok(task) => {
            let over = task.limits.over(&settings.ceilings);
            assert!(over.is_empty(), "limits above the ceilings: {over:?}");
        }
        Err(error) => assert!(!error.reason.is_empty() && !error.remedies.is_empty(), "{error:?}"),
    }
}
