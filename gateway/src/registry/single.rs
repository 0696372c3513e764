//! One module, loaded once from anywhere: for a call or a check from the command line.
//!
//! Owns nothing but the order of steps; each of them is the folder's own, so that a file that
//! passes here is served there. Routes of other tasks are not known, and nothing is watched.

use super::scan::{self, Looked, ReadError, Role, Seen};
use super::slots::{bad_name, module_stamp, read_manifest};
use super::task::{Parts, Task};
use super::{Loader, Settings};
use crate::error::LoadError;
use crate::task::TaskName;
use std::path::Path;
use std::sync::Arc;

/// Loads the module `path` with the manifest beside it, if there is one. Of the settings, the
/// folder is not used.
///
/// # Errors
/// Why the tasks folder would not serve it, and what would help.
pub fn load_file(path: &Path, settings: &Settings, loader: &dyn Loader) -> Result<Arc<Task>, LoadError> {
    let shown = path.display();
    let seen = match scan::look(path) {
        Looked::Seen(seen) => seen,
        Looked::Nothing => return Err(LoadError::new(format!("there is no file {shown}"), "check its path")),
        Looked::Folder => return Err(LoadError::new(format!("{shown} is a folder"), "name a module in it")),
    };
    let file_name = path.file_name().unwrap_or_default();
    let file = file_name.to_string_lossy();
    let Some((stem, Role::Module)) = scan::classify(file_name) else {
        return Err(LoadError::new(
            format!("{shown} is not named like a module: expected *.wasm or *.wat"),
            "rename it, or name the module instead",
        ));
    };
    let name = TaskName::new(&stem).map_err(|message| bad_name(&stem, message))?;
    let stamp = module_stamp(&file, &seen, settings.module_bytes_max)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let manifest_file = format!("{stem}.toml");
    let manifest = match scan::look(&folder.join(&manifest_file)) {
        Looked::Seen(seen @ Seen::File(_)) => read_manifest(folder, &manifest_file, &seen).map_err(told)?,
        _ => Default::default(),
    };
    let bytes = scan::read(path, stamp).map_err(told)?;
    let prepared = Arc::new(loader.prepare(&bytes, &manifest.notes)?);
    let parts = Parts { name: &name, file: &file, prepared, manifest: &manifest, settings, folder };
    parts.assemble(None, loader).map(Arc::new)
}

fn told(error: ReadError) -> LoadError {
    match error {
        ReadError::Failed(error) => error,
        ReadError::Changed => LoadError::new("the file was changed while it was read", "try again"),
    }
}
