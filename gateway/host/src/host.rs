//! The data of a store: everything a run owns on the host's side, and what the gateway offers it.
//!
//! One `Host` per run, dropped with the run's store. WASI state is built when the guest first asks
//! for it, since most calls of a small function never do. The interfaces of `unblock:task` are
//! implemented here, against the WIT in `wit/`. Knows nothing of HTTP or of worker threads.

use crate::files::Open;
use crate::grants::{Grants, Refusal, Refused};
use crate::http::Http;
use crate::limiter::Limiter;
use crate::outgoing::{Outgoing, Watch};
use crate::pipe::{Input, Pipe};
use crate::progress::Progress;
use crate::sockets::Sockets;
use crate::stdio::Ring;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use unblock_pool::Run;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Bindings of the package `unblock:task`, made from its WIT.
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "unblock:task/task",
        imports: { default: trappable },
    });
}

use bindings::unblock::task::{body, progress, remaining};

/// The error of a guest that wrote more than its `output` limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response body is over the limit")]
pub struct OutputTooLarge;

/// The error of a guest that set a media type which is none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no media type; expected one such as \"image/png\"")]
pub struct NoMediaType(String);

/// Longest media type, in bytes; RFC 6838 allows 127 for each of type and subtype, and parameters follow.
const MEDIA_TYPE_BYTES_MAX: usize = 512;

/// Bytes of randomness a guest gets from one call; it asks again for more. The host makes them one by one.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Characters of a bad media type that its error shows.
const MEDIA_TYPE_CHARS_SHOWN: usize = 80;

/// What a run brings along when it starts.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The raw body, for guests that read it.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
}

/// What the guest wrote through `unblock:task/body`.
#[derive(Debug, Default)]
pub struct Response {
    /// The media type it stated.
    pub content_type: Option<String>,
    /// What it wrote.
    pub body: Vec<u8>,
}

/// What a command runs with, beside its grants.
pub struct Program {
    /// Its arguments; the first is its own name.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
    /// Its standard input.
    pub stdin: Input,
    /// Its standard output.
    pub stdout: Pipe,
    /// Whether it asks for its directories in any case, which then tells nothing.
    pub asks_at_start: bool,
}

/// The data of one run's store.
pub struct Host {
    /// Memory accounting.
    pub limiter: Limiter,
    /// The guest's standard error, kept for the caller of a failed run.
    pub stderr: Ring,
    /// The guest's standard output.
    pub stdout: Ring,
    /// The request's raw body, not yet read.
    pub request: Request,
    /// The raw response, if the guest writes one.
    pub response: Option<Response>,
    output_bytes_max: usize,
    progress: Progress,
    run: Run,
    program: Option<Program>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) refused: Refused,
    pub(crate) table: ResourceTable,
    pub(crate) http: Http,
    pub(crate) sockets: Sockets,
    /// Sockets that were made, less those that were seen to be gone.
    pub(crate) sockets_made: usize,
    pub(crate) open: Open,
    /// Of components.
    wasi: Option<WasiCtx>,
    /// Of core modules, with a table of its own.
    preview1: Option<Box<WasiP1Ctx>>,
    pub(crate) asks_at_start: bool,
}

impl Host {
    /// The data of a fresh run.
    #[must_use]
    pub fn new(
        run: Run,
        limiter: Limiter,
        output: u64,
        request: Request,
        progress: Progress,
        grants: Arc<Grants>,
    ) -> Self {
        let refused = Refused::default();
        Self {
            limiter,
            stderr: Ring::default(),
            stdout: Ring::default(),
            request,
            response: None,
            output_bytes_max: usize::try_from(output).unwrap_or(usize::MAX),
            progress,
            run,
            program: None,
            open: Open::default(),
            sockets: Sockets::new(Arc::clone(&grants), refused.clone()),
            sockets_made: 0,
            http: Http::new(Outgoing::new(Arc::clone(&grants), refused.clone())),
            grants,
            refused,
            table: ResourceTable::new(),
            wasi: None,
            preview1: None,
            asks_at_start: false,
        }
    }

    /// Makes the run that of a command. To be called before the guest runs.
    pub fn set_program(&mut self, program: Program) {
        self.asks_at_start = program.asks_at_start;
        self.program = Some(program);
    }

    /// Has somebody told of each outgoing request. To be called before the guest runs.
    pub fn watch_requests(&mut self, watch: Arc<dyn Watch>) {
        self.http.outgoing().watch(watch);
    }

    /// What the run asked for and was not granted.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.refused.list()
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, table, .. } = self;
        let ctx = wasi.get_or_insert_with(|| {
            wasi_of(&self.stdout, &self.stderr, &self.grants, &self.sockets, self.program.take()).build()
        });
        WasiCtxView { ctx, table }
    }
}

impl Host {
    /// The state of preview 1.
    pub(crate) fn preview1(&mut self) -> &mut WasiP1Ctx {
        self.preview1.get_or_insert_with(|| {
            let program = self.program.take();
            Box::new(wasi_of(&self.stdout, &self.stderr, &self.grants, &self.sockets, program).build_p1())
        })
    }

    /// Opens what is granted, for a core module that may ask for it. To be called before the guest runs.
    ///
    /// # Errors
    /// A directory is gone: [`crate::DirectoryGone`].
    pub async fn open_directories(&mut self) -> wasmtime::Result<()> {
        if self.grants.dirs.is_empty() {
            return Ok(());
        }
        let wasi = wasi_of(&self.stdout, &self.stderr, &self.grants, &self.sockets, self.program.take());
        let opened = crate::preview1::with_directories(wasi, Arc::clone(&self.grants)).await?;
        self.preview1 = Some(Box::new(opened));
        Ok(())
    }
}

/// What WASI gives a guest: no arguments and an empty stdin, unless it is a program; beyond that, what is
/// granted. Directories are opened by `files.rs` and `preview1.rs`.
fn wasi_of(
    stdout: &Ring,
    stderr: &Ring,
    grants: &Grants,
    sockets: &Sockets,
    program: Option<Program>,
) -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(stdout.clone()).stderr(stderr.clone()).envs(&grants.env).max_random_size(RANDOM_BYTES_MAX);
    sockets.allow(&mut wasi);
    if let Some(program) = program {
        wasi.args(&program.arguments).envs(&program.variables).stdin(program.stdin).stdout(program.stdout);
    }
    wasi
}

/// Everything a component may import: WASI 0.2 and 0.3 with `wasi:http`, and `unblock:task`.
///
/// # Errors
/// Two of them define the same name, which is a fault of this file.
pub fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    crate::http::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    crate::files::add_to_linker(&mut linker)?;
    crate::sockets::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    body::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    progress::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    remaining::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    Ok(linker)
}

impl body::Host for Host {
    fn size(&mut self) -> wasmtime::Result<u64> {
        Ok(self.request.body.len() as u64)
    }

    fn content_type(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.request.content_type.clone())
    }

    fn read(&mut self, max: u32) -> wasmtime::Result<Vec<u8>> {
        let length = self.request.body.len().min(max as usize);
        Ok(self.request.body.split_to(length).into())
    }

    fn read_all(&mut self) -> wasmtime::Result<Vec<u8>> {
        Ok(std::mem::take(&mut self.request.body).into())
    }

    fn set_content_type(&mut self, media_type: String) -> wasmtime::Result<()> {
        if media_type.len() > MEDIA_TYPE_BYTES_MAX || media_type.parse::<mime::Mime>().is_err() {
            return Err(NoMediaType(media_type.chars().take(MEDIA_TYPE_CHARS_SHOWN).collect()).into());
        }
        self.response.get_or_insert_default().content_type = Some(media_type);
        Ok(())
    }

    fn write(&mut self, chunk: Vec<u8>) -> wasmtime::Result<()> {
        let response = self.response.get_or_insert_default();
        if response.body.len() + chunk.len() > self.output_bytes_max {
            return Err(OutputTooLarge.into());
        }
        if response.body.is_empty() {
            response.body = chunk;
        } else {
            response.body.extend_from_slice(&chunk);
        }
        Ok(())
    }
}

impl progress::Host for Host {
    fn report(&mut self, fraction: f64, message: String) -> wasmtime::Result<()> {
        self.progress.report(fraction, message);
        Ok(())
    }
}

impl remaining::Host for Host {
    fn wall(&mut self) -> wasmtime::Result<u64> {
        Ok(nanoseconds(self.run.remaining_wall()))
    }

    fn cpu(&mut self) -> wasmtime::Result<u64> {
        Ok(nanoseconds(self.run.remaining_cpu()))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
