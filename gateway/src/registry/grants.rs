//! What a manifest asks to be granted → what is granted on this machine.
//!
//! Paths become absolute, directories must exist, variables that are passed on must be set. It reads
//! no manifest, and nothing of a directory but whether it is one.

use super::Settings;
use super::manifest::Asked;
use crate::grants::{Dir, Grants};
use std::fs;
use std::path::{Path, PathBuf};

/// The gateway's own variable of a name, if it is set.
pub type Variable = fn(&str) -> Option<String>;

/// Ties `asked` to this machine, and adds what the settings grant to all; relative paths start in
/// `folder`. What cannot be had is told in `mistakes`.
pub(super) fn tie(asked: &Asked, folder: &Path, settings: &Settings, mistakes: &mut Vec<String>) -> Grants {
    let mut env = asked.env.clone();
    for name in &asked.env_from {
        match (settings.variable)(name) {
            Some(value) => {
                env.insert(name.clone(), value);
            }
            None => mistakes.push(format!(
                "grants.env_from: the gateway itself has no variable {name} (of UTF-8 text); set it where the gateway \
                 is started, or remove the name"
            )),
        }
    }
    let more = &settings.grants;
    env.extend(more.env.clone());
    // The later word counts where both name a path.
    let kept = |dir: &&Dir| !more.dirs.iter().any(|other| other.guest == dir.guest);
    let dirs = asked.dirs.iter().filter(kept).filter_map(|dir| {
        let host = found(&folder.join(&dir.host)).map_err(|message| mistakes.push(message)).ok()?;
        Some(Dir { host, ..dir.clone() })
    });
    let dirs = dirs.chain(more.dirs.iter().cloned()).collect();
    Grants {
        env,
        dirs,
        http: asked.http.iter().chain(&more.http).cloned().collect(),
        sockets: asked.sockets.iter().chain(&more.sockets).cloned().collect(),
    }
}

fn found(host: &Path) -> Result<PathBuf, String> {
    let shown = host.display();
    // Absolute, so that it stays the same whatever the working directory becomes.
    let host = std::path::absolute(host).map_err(|error| format!("grants.dirs: {shown}: {error}"))?;
    match fs::metadata(&host) {
        Ok(seen) if seen.is_dir() => Ok(host),
        Ok(_) => Err(format!("grants.dirs: {} is no directory; grant the one it lies in", host.display())),
        Err(error) => Err(format!(
            "grants.dirs: {} cannot be used: {error}; create it and save the manifest again, or correct host",
            host.display()
        )),
    }
}
