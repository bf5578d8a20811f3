//! Three nodes: what they promise together.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::tests_outside_test_module,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "tests stop where they find what they did not expect"
)]

mod bad_peers;
mod bad_sessions;
mod broken_disk;
mod chaos;
mod clocks;
mod crowd;
mod discovery;
mod explain;
mod faults;
mod formation;
mod growth;
mod judge;
mod kills;
mod name_server;
mod policies;
mod port;
mod process;
mod raw;
mod recovery;
mod sessions;
mod silence;
mod slow_disks;
mod snapshots;
mod starting;
mod stranger;
mod support;
mod together;
mod tokens;
mod tools;
mod upgrade;
