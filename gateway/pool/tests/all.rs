//! The pool's behaviour from outside, with busy loops that ask for their verdict in place of
//! WebAssembly. Bounds are wide enough for a noisy machine with two cores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

mod admission;
mod deadlines;
mod fairness;
mod lifecycle;
mod queues;
