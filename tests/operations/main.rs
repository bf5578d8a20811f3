//! What those see who run nodes: health, metrics and the log, of real processes.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it finds what it did not expect"
)]

mod client;
mod health;
mod logs;
mod metrics;
mod process;
