//! The integration tests: one binary, one file per behaviour, a real server on port 0 each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking and explain themselves by their names"
)]

mod access;
mod bounds;
mod cache;
mod calls;
mod cancel;
mod cli;
mod clients;
mod commands;
mod compiling;
mod component;
mod core_module;
mod cors;
mod fairness;
mod faults;
mod flows;
mod grants;
mod hostile;
mod hot_reload;
mod http;
mod languages;
mod limits;
mod loading;
mod logging;
mod manage;
mod memory;
mod metrics;
mod new;
mod openapi;
mod outgoing;
mod outgoing_p3;
mod page;
mod profiles;
mod proxies;
mod samples;
mod sdk;
mod streams;
mod support;
mod tidy;
mod tls;
mod top;
mod traces;
