//! `turnstile node`, `turnstile config`, and the commands that ask nodes and call through them, from outside: the real binary, its output and its exit codes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it finds what it did not expect"
)]

mod algorithms;
mod calling;
mod cluster_settings;
mod help;
mod loading;
mod node;
mod operate;
mod operating;
mod precedence;
mod problems;
mod recover;
mod serving;
mod support;
mod top;
