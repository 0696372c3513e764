//! Fuzzing of the gateway, on a stable compiler: targets, and a driver that mutates what it has and keeps what
//! reached new code.
//!
//! `just fuzz TARGET MINUTES` compiles the gateway's crates with edge counters (`instrument`) and runs one target; the
//! test of this crate replays the seeds and mutates them blindly for seconds. A target is a function of
//! bytes that panics at what must not be: so does any thread of the gateway, and both are findings.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a finding is a panic"
)]

pub mod coverage;
pub mod driver;
pub mod mutate;
pub mod targets;
