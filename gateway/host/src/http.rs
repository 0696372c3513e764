//! `wasi:http`, 0.2 and 0.3, in the store: its state, its hooks, and what is linked of it.
//!
//! One function links the types and the outgoing half for every component; nothing is set up until a
//! guest first uses it. Where an outgoing request goes is decided in `outgoing/`. Knows nothing of the
//! gateway's own HTTP.

use crate::host::Host;
use crate::outgoing::Outgoing;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What a run needs for `wasi:http`.
pub(crate) struct Http {
    ctx: WasiHttpCtx,
    outgoing: Outgoing,
}

impl Http {
    pub(crate) fn new(outgoing: Outgoing) -> Self {
        Self { ctx: WasiHttpCtx::new(), outgoing }
    }

    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http.ctx, table: &mut self.table, hooks: &mut self.http.outgoing }
    }
}

/// Adds the interfaces of both versions.
///
/// # Errors
/// One of them is defined already.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)
}
