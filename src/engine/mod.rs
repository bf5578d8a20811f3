//! The engine: every decision Turnstile takes, and nothing else.
//!
//! Pure: no I/O, no clock, no randomness, no async, no floats, no logging. `now` is an argument and
//! what should happen is the return value, so one seed replays one run and a test is a table of
//! inputs and outcomes.
//!
//! Two floors. The vocabulary ([`key`], [`time`], [`rate`], [`algorithm`], [`grant`], [`invalid`]) names things;
//! above it stand the machines: [`limiter`] counts a connection's charges, [`queue`] orders its
//! waiters, [`throttle`] joins the two into one connection as its owner sees it, [`shard`] is all
//! connections of one owner, [`ledger`] is the replicated accountant that has the last word,
//! [`ring`] says who owns what, and by [`founding`] nodes without a cluster become one.

pub mod algorithm;
pub mod cost;
#[doc(hidden)]
pub mod fault;
pub mod founding;
pub mod grant;
pub mod invalid;
pub mod key;
pub mod ledger;
pub mod limiter;
pub mod membership;
pub mod pattern;
pub mod queue;
pub mod rate;
pub mod ring;
pub mod shard;
pub mod throttle;
pub mod time;
