//! What a module imports, against what the gateway offers; every missing import with its remedy.
//!
//! Checked before compiling, all at once: a user who drops in a module made for another host
//! learns what it was made for. The list of offers is that of `host.rs`; a test holds them together.

use super::detect::Survey;
use crate::error::LoadError;
use unblock_host::CORE_MODULES;

/// Interfaces offered to components, without version.
pub const OFFERED: [&str; 37] = [
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
    "wasi:http/client",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
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

/// Functions that core modules are offered in each of [`CORE_MODULES`], which are WASI preview 1 and 0.
pub const CORE_FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// The one of them that preview 0 does not have.
const NOT_IN_PREVIEW_0: &str = "sock_accept";

/// What an import that is not offered was made for: prefix, and what would help.
const KNOWN: [(&str, &str); 17] = [
    (
        "wasi:http/",
        "of wasi:http 0.2 and 0.3 a guest may import types, outgoing-handler and client; other handlers cannot be \
         chained here: compose the components into one",
    ),
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
    ("wasi_snapshot_preview1", "not a function of WASI preview 1, but another host's extension of it"),
    ("wasi_unstable", "not a function of WASI preview 0; rebuild for wasm32-wasip1 or wasm32-wasip2"),
    ("wasi", "made for wasi-threads: a run has one thread; rebuild without threads"),
    ("wbg", "made by wasm-bindgen for a browser; rebuild for wasm32-wasip2 without wasm-bindgen"),
    ("__wbindgen", "made by wasm-bindgen for a browser; rebuild for wasm32-wasip2 without wasm-bindgen"),
    (
        "env",
        "made for a host with functions of its own (often Emscripten); rebuild for wasm32-wasip2 or with -sSTANDALONE_WASM",
    ),
];

/// Checks all imports.
///
/// # Errors
/// Names every import that nothing satisfies, each with what would help.
pub fn check(survey: &Survey) -> Result<(), LoadError> {
    let mut missing: Vec<(String, &str)> = Vec::new();
    for (module, name) in &survey.imports {
        let plain = module.split_once('@').map_or(module.as_str(), |(plain, _)| plain);
        let offered = if survey.component { OFFERED.contains(&plain) } else { core_function(module, name) };
        if !offered {
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

/// Whether core modules are offered that function.
fn core_function(module: &str, name: &str) -> bool {
    let [_, preview0] = CORE_MODULES;
    CORE_MODULES.contains(&module)
        && CORE_FUNCTIONS.contains(&name)
        && !(module == preview0 && name == NOT_IN_PREVIEW_0)
}

/// Remedies listed at most: one for each sort of import is enough.
const REMEDIES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use unblock_host::Host;
    use wasmtime::Engine;

    /// Interfaces of WASI 0.2 and 0.3 and of our own package, offered or not: all that may come to be
    /// linked by a newer version of the engine, or be dropped by it.
    const EXISTING: [&str; 46] = [
        "unblock:task/body",
        "unblock:task/progress",
        "unblock:task/remaining",
        "unblock:task/task",
        "wasi:blobstore/blobstore",
        "wasi:cli/environment",
        "wasi:cli/exit",
        "wasi:cli/run",
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
        "wasi:clocks/timezone",
        "wasi:clocks/types",
        "wasi:clocks/wall-clock",
        "wasi:config/store",
        "wasi:filesystem/preopens",
        "wasi:filesystem/types",
        "wasi:http/client",
        "wasi:http/handler",
        "wasi:http/incoming-handler",
        "wasi:http/outgoing-handler",
        "wasi:http/types",
        "wasi:io/error",
        "wasi:io/poll",
        "wasi:io/streams",
        "wasi:keyvalue/store",
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
        "wasi:tls/types",
    ];

    /// Interfaces of types alone that the engine links nothing for: a component may import them all the same.
    const TYPES_ONLY: [&str; 1] = ["wasi:cli/types"];

    /// Whether the linker has the interface in any version that could be meant.
    fn linked(linker: &mut wasmtime::component::Linker<Host>, interface: &str) -> bool {
        let versions =
            (0..100).map(|patch| format!("0.2.{patch}")).chain((0..20).map(|patch| format!("0.3.{patch}")));
        let mut versions = versions.chain(["0.1.0".to_owned()]);
        // The linker cannot be listed, but it takes no name twice.
        versions.any(|version| {
            let name = format!("{interface}@{version}");
            let defined = linker.root().func_wrap(&name, |_, (): ()| Ok(()));
            defined.is_err_and(|error| error.to_string().contains("defined twice"))
        })
    }

    #[test]
    fn what_is_offered_is_what_is_linked() -> wasmtime::Result<()> {
        let mut linker = unblock_host::linker(&Engine::default())?;
        for interface in EXISTING {
            let offered = OFFERED.contains(&interface) && !TYPES_ONLY.contains(&interface);
            assert_eq!(linked(&mut linker, interface), offered, "{interface}: linked or not, offered or not");
        }
        for interface in OFFERED {
            assert!(EXISTING.contains(&interface), "{interface} is offered, but not among those looked for");
        }
        Ok(())
    }

    #[test]
    fn core_modules_are_offered_what_is_linked_for_them() -> wasmtime::Result<()> {
        let mut linker = unblock_host::core_linker(&Engine::default())?;
        for module in CORE_MODULES {
            for name in CORE_FUNCTIONS.into_iter().chain(["sock_open", "thread-spawn"]) {
                let taken = linker.func_wrap(module, name, || ()).is_err();
                assert_eq!(
                    taken,
                    core_function(module, name),
                    "{module}.{name}: linked or not, offered or not"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn an_interface_of_types_alone_needs_nothing_linked() -> wasmtime::Result<()> {
        let engine = Engine::default();
        let linker: wasmtime::component::Linker<Host> = unblock_host::linker(&engine)?;
        for interface in TYPES_ONLY {
            assert!(OFFERED.contains(&interface), "{interface}");
            let text = format!(
                "(component (import \"{interface}@0.3.0\" (instance (type $t (enum \"io\")) (export \"t\" (type (eq $t))))))"
            );
            let binary = wat::parse_str(text).map_err(wasmtime::Error::new)?;
            linker.instantiate_pre(&wasmtime::component::Component::new(&engine, binary)?)?;
        }
        Ok(())
    }

    #[test]
    fn every_missing_import_is_named_and_every_sort_gets_its_remedy_once() {
        let import = |module: &str, name: &str| (module.to_owned(), name.to_owned());
        let mut survey = Survey::default();
        survey.imports =
            vec![import("env", "a"), import("env", "b"), import("wasi:keyvalue/store@0.2.0", "")];
        let error = check(&survey).expect_err("nothing of it is offered");
        assert!(error.reason.ends_with("env.a, env.b, wasi:keyvalue/store@0.2.0"), "{error}");
        assert_eq!(error.remedies.len(), 2, "{error}");
        // A component's WASI import is offered, the same name in a core module is not.
        survey.imports = vec![import("wasi:cli/stdout@0.2.0", "")];
        assert!(check(&survey).is_err());
        survey.component = true;
        assert!(check(&survey).is_ok());
    }
}
