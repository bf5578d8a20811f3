//! The gRPC surface as its clients see it: a real server on a loopback port, and the generated client.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test reads the clock and stops where it finds what it did not expect"
)]

mod admin;
mod bad_input;
mod ends;
mod operators;
mod permits;
mod port;
mod relay;
mod session;
mod standard;
mod support;
mod unary;
