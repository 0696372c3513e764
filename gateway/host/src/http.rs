//! `wasi:http`, 0.2 and 0.3, in the store: its state, its hooks, and what is linked of it.
//!
//! One function links the types and the outgoing half for every component; nothing is set up until a
//! guest first uses it. Knows nothing of the gateway's own HTTP.

use crate::host::Host;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// What a run needs for `wasi:http`.
#[derive(Default)]
pub(crate) struct Http {
    ctx: WasiHttpCtx,
    outgoing: Denied,
}

/// Sends nothing: no host is granted.
#[derive(Default)]
struct Denied;

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<()>> + Send>)>;

impl WasiHttpHooks for Denied {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
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
