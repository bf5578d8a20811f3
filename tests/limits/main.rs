//! The limits hold: windows, queues, connections and the ledger against naive oracles, in virtual time.
//!
//! No clock is read and nothing sleeps. On a failure proptest prints the smallest input it finds and stores the seed beside this
//! file. The cases of all properties together are [`TOTAL_CASES`]; each says its own share.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test stops where it finds what it did not expect"
)]

mod account_oracle;
mod connection;
mod estimates_oracle;
mod fate;
mod ledger;
mod ledger_oracle;
mod long_windows;
mod queue;
mod tries;
mod window;
mod world;

use proptest::test_runner::Config;

/// How many cases the properties of this crate run together.
const TOTAL_CASES: u32 = 100_000;
const WINDOW_CASES: u32 = 30_000;
const LARGE_WINDOW_CASES: u32 = 2_000;
const QUEUE_CASES: u32 = 38_000;
const CONNECTION_CASES: u32 = 12_000;
const LEDGER_CASES: u32 = 18_000;

#[test]
fn the_shares_of_the_properties_add_up() {
    assert_eq!(WINDOW_CASES + LARGE_WINDOW_CASES + QUEUE_CASES + CONNECTION_CASES + LEDGER_CASES, TOTAL_CASES);
}

/// `PROPTEST_CASES` overrides it for every property: a long run sets it to 1,000,000.
fn cases(cases: u32) -> Config {
    Config::with_cases(cases)
}
