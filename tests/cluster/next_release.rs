//! The binary as a release to come would be: see the feature `next-level`, and `upgrade.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    turnstile::cli::run()
}
