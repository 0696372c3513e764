//! What a module imports, against what the gateway offers; every missing import with its remedy.
//!
//! Checked before compiling, all at once: a user who drops in a module made for another host
//! learns what it was made for. The list of offers is that of `host.rs`; a test holds them together.

use super::detect::Survey;
use crate::error::LoadError;

/// Interfaces offered to components, without version.
pub const OFFERED: [&str; 34] = [
    "unblock:task/body",
    "unblock:task/progress",
    "unblock:task/remaining",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/types",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// What an import that is not offered was made for: prefix, and what would help.
const KNOWN: [(&str, &str); 16] = [
    ("wasi:http/", "made for an HTTP host; this version serves typed components and numeric core modules, not wasi:http"),
    ("wasi:keyvalue/", "a key-value store is not offered; take the data as parameters"),
    ("wasi:blobstore/", "a blob store is not offered; take the data as parameters or as the request body"),
    ("wasi:config/", "run-time configuration is not offered; take it as parameters"),
    ("wasi:logging/", "wasi:logging is not offered; write to standard error, which is kept with the call"),
    ("wasi:nn/", "wasi:nn is not offered"),
    ("wasi:", "not a WASI 0.2 or 0.3 interface of this version; rebuild for wasm32-wasip2"),
    ("unblock:task/", "not an interface of unblock:task@0.1.0; see wit/task.wit"),
    ("extism:host", "made for Extism's plug-in interface; export typed functions instead (tasks/README.md)"),
    ("fermyon:", "made for Spin's own interfaces; use standard WASI"),
    ("spin", "made for Spin's own interfaces; use standard WASI"),
    ("wasi_snapshot_preview1", "a WASI preview 1 module without component types; rebuild it as a component for wasm32-wasip2"),
    ("wasi_unstable", "WASI preview 0 is no longer served; rebuild for wasm32-wasip2"),
    ("wbg", "made by wasm-bindgen for a browser; rebuild for wasm32-wasip2 without wasm-bindgen"),
    ("__wbindgen", "made by wasm-bindgen for a browser; rebuild for wasm32-wasip2 without wasm-bindgen"),
    ("env", "made for a host with functions of its own (often Emscripten); rebuild for wasm32-wasip2 or with -sSTANDALONE_WASM"),
];

/// Checks all imports.
///
/// # Errors
/// Names every import that nothing satisfies, each with what would help.
pub fn check(survey: &Survey) -> Result<(), LoadError> {
    let mut missing: Vec<(String, &str)> = Vec::new();
    for (module, name) in &survey.imports {
        let plain = module.split_once('@').map_or(module.as_str(), |(plain, _)| plain);
        // Core modules are offered nothing: numbers in, numbers out.
        if !(survey.component && OFFERED.contains(&plain)) {
            let shown = if name.is_empty() { module.clone() } else { format!("{module}.{name}") };
            let remedy = KNOWN
                .iter()
                .find(|(prefix, _)| module.starts_with(prefix))
                .map_or("not a host interface known here; build it into the module", |(_, remedy)| *remedy);
            missing.push((shown, remedy));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let mut remedies: Vec<String> = Vec::new();
    for (name, remedy) in &missing {
        let line = format!("{name}: {remedy}");
        if remedies.len() < REMEDIES_MAX && !remedies.iter().any(|known| known.ends_with(remedy)) {
            remedies.push(line);
        }
    }
    Err(LoadError { reason: format!("imports that nothing here satisfies: {}", names.join(", ")), remedies })
}

/// Remedies listed at most: one for each sort of import is enough.
const REMEDIES_MAX: usize = 10;
