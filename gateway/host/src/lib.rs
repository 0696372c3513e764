//! What a guest may import, and everything a run owns on the host's side.
//!
//! The lowest part of the gateway's `runtime` layer, in a crate of its own for one reason: the glue
//! that wasmtime generates between WASI's interfaces and the store's data takes minutes to compile,
//! and changes rarely (decisions/004). Knows nothing of tasks, HTTP, files or worker threads; of the
//! pool it sees the handle of one run, which it asks how much time is left.

mod files;
mod flow;
mod grants;
mod host;
mod http;
mod limiter;
mod memory;
mod outgoing;
mod pipe;
mod preview1;
mod progress;
mod sockets;
mod stdio;
mod waiters;

pub use files::DirectoryGone;
pub use flow::Outflow;
pub use grants::{Dir, Grants, Peer, Refusal, Refused, Target};
pub use host::{Host, NoMediaType, OutputTooLarge, Program, Request, Response, linker};
pub use limiter::Limiter;
pub use memory::{Charge, Memory};
pub use outgoing::{Watch, Watched};
pub use pipe::{Input, PIPE_BYTES_MAX, Pipe, Reader};
pub use preview1::{MODULES as CORE_MODULES, core_linker};
pub use progress::Progress;
pub use stdio::{RING_BYTES_MAX, Ring, Tail};
