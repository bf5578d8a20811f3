//! `turnstile node`, `turnstile config` and the commands that ask nodes, from outside: the real binary, its output and its exit codes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it finds what it did not expect"
)]

mod algorithms;
mod cluster_settings;
mod help;
mod node;
mod operate;
mod precedence;
mod problems;
mod recover;
mod serving;
mod support;
