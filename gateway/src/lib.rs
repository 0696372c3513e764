//! **Unblock** runs blocking WebAssembly tasks behind HTTP without ever blocking.
//!
//! This page is the map. Five nouns, never overloaded:
//!
//! - a *Task* is a loaded module: one file of the tasks folder, judged, compiled and linked;
//! - a *Run* is one execution of one of its functions, in a fresh instance;
//! - a *Job* is a stored, asynchronous run (a reserved name, not built yet);
//! - a *Slice* is one stretch of a run on a worker thread, between two yields;
//! - a *Level* is a row of the pool's queue: new runs on top, long ones below.
//!
//! Life of a call: [`http`] reads the request and finds the function in the [`registry`]'s
//! immutable snapshot → [`invoke`] waits for a slot of the task and submits the run to the pool →
//! [`runtime`] decodes the arguments ([`values`]), makes an instance and calls the guest, in slices
//! on the pool's worker threads → the outcome comes back as a value or an [`error`] → [`http`]
//! writes it. A caller who hangs up drops the handler's future, and with it the run.
//!
//! Modules may use only what stands below them (held by `tests/tidy.rs`):
//!
//! | rank | modules | must not know |
//! |---|---|---|
//! | 9 | [`cli`] | request details |
//! | 8 | [`app`] | who started it |
//! | 7 | [`config`] | how things run |
//! | 6 | [`http`], [`local`] | wasmtime, stores |
//! | 5 | [`invoke`], [`metrics`] | who asked |
//! | 4 | [`registry`] | wasmtime types |
//! | 3 | [`observe`] | who looks |
//! | 2 | [`runtime`] | axum, files, the queue's order |
//! | 1 | [`values`], [`access`], [`reload`], [`tls`], [`traces`], the crate `unblock_pool`, [`new`] (`unblock new`) | each other |
//! | 0 | [`error`], [`exchange`], [`grants`], [`limits`], [`task`], [`telemetry`] | every framework but tracing |

pub mod access;
mod allocator;
pub mod app;
pub mod cli;
pub mod config;
pub mod error;
pub mod exchange;
pub mod grants;
pub mod http;
pub mod invoke;
pub mod limits;
pub mod local;
pub mod metrics;
pub mod new;
pub mod observe;
pub mod registry;
pub mod reload;
pub mod runtime;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod values;
