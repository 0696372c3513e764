//! Bytes → [`Prepared`]: assemble, survey, check the imports, compile, link, list the functions.
//!
//! In this order, so that what cannot be served is refused before the expensive step. Compiling
//! runs on a small thread pool of its own at low priority; a compile cannot be cancelled, so it is
//! abandoned at exit. Knows no files and no manifest syntax.

use super::cache::{self, CodeCache, Compiled};
use super::detect::{self, Role, Survey};
use super::engine::{self, Settings};
use super::room::Room;
use super::{Module, Notes, Prepared, command, component, core_module, http_guest, imports};
use crate::error::LoadError;
use crate::task::Kind;
use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;
use unblock_host::Host;
use wasmtime::Engine;

/// Hexadecimal digits of a digest that are shown; enough to tell versions apart.
const DIGEST_DIGITS: usize = 16;

/// Niceness of compiling threads: below the workers', which are below the HTTP threads'. Where these take
/// all there is, a tenth of a core is left for compiling; at 15 it was a thirtieth (decisions/010).
const COMPILE_NICE: i32 = 10;

/// Host functions added to core modules; tests use it to control time from inside a guest.
pub type ExtraImports = Box<dyn FnOnce(&mut wasmtime::Linker<Host>) -> wasmtime::Result<()> + Send>;

/// The engine with what guests may import.
pub struct Runtime {
    pub(super) engine: Engine,
    linker: wasmtime::component::Linker<Host>,
    core_linker: wasmtime::Linker<Host>,
    compilers: rayon::ThreadPool,
    cache: Option<Arc<CodeCache>>,
    counts: cache::Counts,
    room: Room,
    extra: bool,
}

impl Runtime {
    /// Builds the engine and the linkers.
    ///
    /// # Errors
    /// See [`engine::engine`]; threads that the system refuses.
    pub fn new(settings: &Settings, extra: Option<ExtraImports>) -> anyhow::Result<Arc<Self>> {
        let engine = engine::engine(settings)?;
        let cache = settings.cache.as_deref().and_then(|folder| {
            CodeCache::open(folder, settings.cache_bytes_max, &engine)
                // It costs compilations, not the service.
                .inspect_err(|error| {
                    tracing::warn!(
                        "compiled code is not kept, each start compiles again: {error:#}; \
                         or name another folder with --cache DIR, or none with --cache off"
                    );
                })
                .map(Arc::new)
                .ok()
        });
        let linker = unblock_host::linker(&engine)
            .map_err(anyhow::Error::from)
            .context("linking the host's interfaces")?;
        let mut core_linker = unblock_host::core_linker(&engine)
            .map_err(anyhow::Error::from)
            .context("linking WASI preview 1")?;
        let has_extra = extra.is_some();
        if let Some(extra) = extra {
            extra(&mut core_linker).map_err(anyhow::Error::from)?;
        }
        let compilers = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.compile_threads.max(1))
            .thread_name(|index| format!("compile-{index}"))
            // Failing to lower the priority only costs politeness.
            .start_handler(|_| {
                let _ = rustix::process::setpriority_process(None, COMPILE_NICE);
            })
            .build()
            .context("starting the compiling threads")?;
        if let Some(cache) = cache.clone() {
            compilers.spawn(move || cache.tidy());
        }
        let room = Room::beside(settings.runs);
        let counts = cache::Counts::default();
        Ok(Arc::new(Self { engine, linker, core_linker, compilers, cache, counts, room, extra: has_extra }))
    }

    /// The function that makes every running guest ask the pool for its verdict.
    #[must_use]
    pub fn interrupt(&self) -> Arc<dyn Fn() + Send + Sync> {
        let engine = self.engine.clone();
        Arc::new(move || engine.increment_epoch())
    }

    /// What was compiled since the start, and what came from the cache.
    #[must_use]
    pub fn compiled(&self) -> Compiled {
        self.counts.read()
    }

    fn shelf(&self) -> cache::Shelf<'_> {
        (self.cache.as_deref(), &self.counts)
    }

    /// Judges, compiles and links a module. Takes from milliseconds (cached) to minutes.
    ///
    /// # Errors
    /// Why it cannot be served, and what would help.
    pub fn prepare(&self, bytes: &[u8], notes: &Notes) -> Result<Prepared, LoadError> {
        self.judge(bytes, notes).map_err(LoadError::bounded)
    }

    fn judge(&self, bytes: &[u8], notes: &Notes) -> Result<Prepared, LoadError> {
        let digest = digest(bytes);
        let assembled = detect::assemble(bytes)?;
        let features = self.engine.get_wasm_features();
        let mut survey = detect::survey(&assembled, features)?;
        let mut binary = assembled;
        if let Some(component) = detect::componentize(binary.clone(), &survey)? {
            let (docs, raw) = (std::mem::take(&mut survey.docs), std::mem::take(&mut survey.raw));
            survey = detect::survey(&component, features)?;
            (survey.docs, survey.raw) = (docs, raw);
            binary = component.into();
        }
        // With extra imports the core linker itself is asked, below.
        if survey.component || !self.extra {
            imports::check(&survey)?;
        }
        let place = self.room.take()?;
        let (kind, module, (mut functions, hidden)) = self.compilers.install(|| {
            if survey.component {
                self.component(&binary, &survey)
            } else {
                self.core(&binary, &survey, notes)
            }
        })?;
        for function in &mut functions {
            if let Some(described) =
                notes.functions.get(&function.name).and_then(|notes| notes.description.clone())
            {
                function.description = Some(described);
            }
        }
        let imports = survey
            .imports
            .iter()
            .map(|(module, name)| if name.is_empty() { module.clone() } else { format!("{module}.{name}") });
        Ok(Prepared {
            kind,
            version: u64::from_str_radix(&digest, 16).unwrap_or(0),
            digest: digest.into(),
            size_bytes: bytes.len() as u64,
            description: notes.description.clone().or(survey.docs.task.clone()),
            functions,
            hidden,
            imports: imports.collect(),
            memory_min: survey.memory_min,
            module,
            _place: place,
        })
    }

    fn component(&self, binary: &[u8], survey: &Survey) -> Result<(Kind, Module, Functions), LoadError> {
        let component = cache::component(self.shelf(), &self.engine, binary).map_err(uncompiled)?;
        let role = survey.role();
        let functions = match role {
            Role::Typed => component::functions(&component, survey)?,
            Role::Http(main) | Role::Command(main) => (Vec::new(), component::beside(&component, main)),
        };
        let pre = self.linker.instantiate_pre(&component).map_err(unlinked)?;
        Ok(match role {
            Role::Typed => (Kind::Component, Module::Component(component::Linked(pre)), functions),
            Role::Http(handler) => {
                (Kind::Http, Module::Http(http_guest::Linked::new(pre, handler)?), functions)
            }
            Role::Command(run) => {
                (Kind::Command, Module::Command(command::Linked::component(pre, run)?), functions)
            }
        })
    }

    fn core(
        &self,
        binary: &[u8],
        survey: &Survey,
        notes: &Notes,
    ) -> Result<(Kind, Module, Functions), LoadError> {
        let module = cache::module(self.shelf(), &self.engine, binary).map_err(uncompiled)?;
        let link = || self.core_linker.instantiate_pre(&module).map_err(unlinked);
        if survey.program() {
            let hidden = core_module::beside(survey);
            let linked = command::Linked::core(link()?, survey.go)?;
            return Ok((Kind::Command, Module::Command(linked), (Vec::new(), hidden)));
        }
        let functions = core_module::functions(&module, survey, notes)?;
        Ok((Kind::CoreModule, Module::Core(core_module::Linked::new(link()?)), functions))
    }
}

/// Callable and hidden exports.
type Functions = (Vec<super::Function>, Vec<super::Hidden>);

fn uncompiled(error: wasmtime::Error) -> LoadError {
    LoadError::new(
        format!("the engine cannot compile it: {error:#}"),
        "it passed validation, so this is a limit of the engine; rebuild with other optimisation flags",
    )
}

fn unlinked(error: wasmtime::Error) -> LoadError {
    LoadError::new(
        format!("its imports do not fit what is offered: {error:#}"),
        "rebuild it against WASI 0.2 and unblock:task@0.1.0 (wit/task.wit)",
    )
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(DIGEST_DIGITS);
    text
}
