//! One file as a task, without a folder or a watch: for `unblock run` and `unblock check`.
//!
//! The same checks in the same words as the server's: the name, the manifest beside the module, the
//! fit of both. Reads two files and starts no thread; the server goes by `slots.rs` instead.

use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::task::{Parts, Task};
use super::{Loader, Settings};
use crate::error::LoadError;
use crate::limits;
use crate::task::TaskName;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

/// Loads the module at `path`, and the manifest beside it if there is one.
///
/// # Errors
/// The file cannot be read, or cannot be served.
pub fn load_file(path: &Path, settings: &Settings, loader: &dyn Loader) -> Result<Arc<Task>, LoadError> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = TaskName::new(&stem).map_err(|message| LoadError::new(message, "the name becomes part of the URL"))?;
    let bytes = read(path, settings.module_bytes_max)
        .map_err(|error| unreadable(path, &error, "name a .wasm or .wat file"))?;
    let manifest_path = path.with_extension("toml");
    let manifest = match read(&manifest_path, MANIFEST_BYTES_MAX) {
        Ok(text) => Manifest::parse(&format!("{stem}.toml"), &text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Manifest::default(),
        Err(error) => return Err(unreadable(&manifest_path, &error, "let this user read it, or remove it")),
    };
    let prepared = Arc::new(loader.prepare(&bytes, &manifest.notes)?);
    let parts = Parts {
        name: &name,
        file: &file,
        prepared,
        manifest: &manifest,
        defaults: &settings.defaults,
        ceilings: &settings.ceilings,
    };
    parts.assemble(None, loader).map(Arc::new)
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("over {}", limits::bytes(bytes_max))));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error, remedy: &str) -> LoadError {
    LoadError::new(format!("cannot read {}: {error}", path.display()), remedy)
}
