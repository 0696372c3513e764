//! The load: closed loops by wrk, fixed rates by a generator of our own, and single connections.
//!
//! Knows HTTP as bytes on a socket, nothing of who answers.

pub mod closed;
pub mod connection;
pub mod flood;
pub mod open;
pub mod stream;
