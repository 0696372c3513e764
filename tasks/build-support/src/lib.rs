//! For the build scripts of tasks.
#![allow(clippy::print_stdout, reason = "it is how a build script talks to cargo")]

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use wit_parser::{PackageMetadata, Resolve};

/// Carries the doc comments of a task's world into its module, from where the gateway shows them:
/// the linker that makes a component drops them.
///
/// `paths` are files or folders of WIT, what others depend on first; the world is in the last one.
/// The task's source takes in what is written here by one line:
/// `include!(concat!(env!("OUT_DIR"), "/docs.rs"));`
pub fn embed_docs(paths: &[&str], world: &str) -> Result<()> {
    for path in paths {
        println!("cargo::rerun-if-changed={path}");
    }
    let source = "#[cfg(target_family = \"wasm\")]\n\
        #[used]\n\
        #[unsafe(link_section = \"package-docs\")]\n\
        static PACKAGE_DOCS: [u8; include_bytes!(\"package-docs\").len()] = *include_bytes!(\"package-docs\");\n";
    let out = std::env::var("OUT_DIR").context("this is for build scripts: cargo sets OUT_DIR")?;
    std::fs::write(Path::new(&out).join("package-docs"), section(paths, world)?)?;
    std::fs::write(Path::new(&out).join("docs.rs"), source)?;
    Ok(())
}

/// Sizes the memory that a WebAssembly module starts with. Enough from the start is faster than
/// growth, which costs system calls in every call; but it is charged to every call, too.
pub fn initial_memory(bytes: u32) {
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg=--initial-memory={bytes}");
    }
}

/// The contents of the custom section `package-docs`: a version, then JSON.
fn section(paths: &[&str], world: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let mut package = None;
    for path in paths {
        let (id, _) = resolve.push_path(path)?;
        package = Some(id);
    }
    let encoded = PackageMetadata::extract(&resolve, package.context("no WIT was named")?).encode()?;
    let (version, text) = encoded.split_first().context("the documentation is empty")?;
    let document: Value = serde_json::from_slice(text)?;

    // In a component there is one world, which tools call "root", and only exports are sure to be
    // left: an import that nothing uses is gone.
    let mut root = Map::new();
    for key in ["docs", "func_exports", "interface_exports"] {
        if let Some(value) = document.pointer(&format!("/worlds/{world}/{key}")) {
            root.insert(key.to_owned(), value.clone());
        }
    }
    let mut section = vec![*version];
    serde_json::to_writer(&mut section, &json!({ "worlds": { "root": root } }))?;
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_world_exports_keeps_its_documentation() -> Result<()> {
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../sleep/wit");
        let section = section(&[wit], "sleep")?;
        assert_eq!(section.first(), Some(&1));
        let document: Value = serde_json::from_slice(section.get(1..).unwrap_or_default())?;
        let docs = document.pointer("/worlds/root/interface_exports/api/funcs/sleep/docs");
        assert!(
            docs.and_then(Value::as_str).is_some_and(|docs| docs.starts_with("Sleeps for")),
            "{document}"
        );
        Ok(())
    }
}
