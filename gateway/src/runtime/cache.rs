//! Compiled code on disk, so that a restart takes milliseconds.
//!
//! One file for each module and configuration of the engine, made aside and renamed. An entry opens
//! with the checksum of its code: what was damaged is compiled again, where the engine's own cache
//! would run it. The least used entries go when the folder is over its size. A failure in here
//! costs a compilation and nothing else. Knows no tasks.

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Bytes that the folder may hold before the least used entries go.
const FOLDER_BYTES_MAX: u64 = 4 << 30;

/// Bytes of the checksum in front of the code: SHA-256.
const CHECKSUM_BYTES: usize = 32;

/// Extension of an entry on its way; one that a crash left behind is removed with the old ones.
const ASIDE: &str = "new";

/// A folder of compiled code.
pub struct CodeCache {
    folder: PathBuf,
    /// What the code depends on beside the module: the engine's version and configuration.
    engine: Sha256,
}

impl CodeCache {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path, engine: &Engine) -> anyhow::Result<Self> {
        let folder = folder.join("code");
        // What lies in it is run as it is: nobody else may write there.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot create the cache folder {}", folder.display()))?;
        let mut hasher = Hashed(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder, engine: hasher.0 })
    }

    fn path(&self, kind: &str, binary: &[u8]) -> PathBuf {
        let key = self.engine.clone().chain_update(kind).chain_update(binary).finalize();
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }

    /// The code of an entry, if it is there and whole.
    fn read(path: &Path) -> Option<Vec<u8>> {
        let mut entry = fs::read(path).ok()?;
        let (checksum, code) = entry.split_at_checked(CHECKSUM_BYTES)?;
        if *checksum_of(path, code) != *checksum {
            tracing::warn!(entry = %path.display(), "compiled code in the cache is damaged: compiling again");
            return None;
        }
        entry.drain(..CHECKSUM_BYTES);
        // Its age tells what was not used for longest; without it an entry only goes sooner.
        let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(entry)
    }

    fn write(&self, path: &Path, code: &[u8]) {
        let mut entry = checksum_of(path, code).to_vec();
        entry.extend_from_slice(code);
        let aside = path.with_extension(format!("{}.{ASIDE}", std::process::id()));
        let written = fs::write(&aside, entry).and_then(|()| fs::rename(&aside, path));
        if let Err(error) = written.and_then(|()| self.trim()) {
            let _ = fs::remove_file(&aside);
            tracing::warn!(cause = %error, folder = %self.folder.display(), "compiled code cannot be kept in the cache");
        }
    }

    /// Removes what was not used for longest until the folder is within its size.
    fn trim(&self) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // One that another process has just removed is no failure.
            let Ok(meta) = entry.metadata() else { continue };
            entries.push((meta.modified()?, meta.len(), entry.path()));
        }
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        entries.sort();
        for (_, size, path) in entries {
            if bytes <= FOLDER_BYTES_MAX {
                break;
            }
            let _ = fs::remove_file(path);
            bytes -= size;
        }
        Ok(())
    }
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
pub fn component(cache: Option<&CodeCache>, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Component> {
    let Some(cache) = cache else { return Component::from_binary(engine, binary) };
    let path = cache.path("component", binary);
    // SAFETY: the checksum says that the bytes are those that `serialize` gave to a gateway with write access
    // to this folder; code of another engine or configuration is refused by `deserialize` itself.
    let kept = CodeCache::read(&path).and_then(|code| unsafe { Component::deserialize(engine, code) }.ok());
    if let Some(component) = kept {
        return Ok(component);
    }
    let component = Component::from_binary(engine, binary)?;
    cache.write(&path, &component.serialize()?);
    Ok(component)
}

/// As [`component`], for core modules.
///
/// # Errors
/// It cannot be compiled.
pub fn module(cache: Option<&CodeCache>, engine: &Engine, binary: &[u8]) -> wasmtime::Result<Module> {
    let Some(cache) = cache else { return Module::from_binary(engine, binary) };
    let path = cache.path("module", binary);
    // SAFETY: as above.
    let kept = CodeCache::read(&path).and_then(|code| unsafe { Module::deserialize(engine, code) }.ok());
    if let Some(module) = kept {
        return Ok(module);
    }
    let module = Module::from_binary(engine, binary)?;
    cache.write(&path, &module.serialize()?);
    Ok(module)
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
