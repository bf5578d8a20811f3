//! HTTP/JSON as its clients see it: real servers on loopback ports, and clients that speak plain HTTP.

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

mod bad_input;
mod cluster;
mod crowds;
mod nodes;
mod openapi;
mod operators;
mod slots;
mod support;
