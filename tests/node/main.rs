//! One node as its users see it: the library's surface, its bounds, its disk.

mod bounds;
mod calls;
mod crash;
mod data_directory;
mod memory;
mod requests;
mod support;
mod tries;

/// The allocator of the `turnstile` binary, which gives memory back to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
