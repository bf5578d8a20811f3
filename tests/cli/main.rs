//! `turnstile node` and `turnstile config` from outside: the real binary, its output and its exit codes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it finds what it did not expect"
)]

mod help;
mod node;
mod precedence;
mod problems;
mod serving;
mod support;
