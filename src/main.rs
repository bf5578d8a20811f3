//! The `turnstile` binary; everything it does is in the library's `cli`.

use std::process::ExitCode;

/// The system's allocator keeps what a hundred thousand connections have left; this one gives it back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    turnstile::cli::run()
}
