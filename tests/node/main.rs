//! One node as its users see it: the library's surface, its bounds, its disk.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reads the clock and stops where it finds what it did not expect"
)]

mod batches;
mod bounds;
mod busiest;
mod calls;
mod crash;
mod data_directory;
mod endings;
mod explain;
mod full_disk;
mod memory;
mod requests;
mod snapshots;
mod support;
mod tokens;
mod tries;

/// The allocator of the `turnstile` binary, which gives memory back to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
