//! What is wrong with an input: the value, and the rule it breaks.

use std::time::Duration;

use thiserror::Error;

/// An input that can never be served, whatever the state of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidInput {
    /// A platform or connection name is empty.
    #[error("{part} is empty: it takes 1 to {} bytes of UTF-8", crate::engine::key::MAX_PART_BYTES)]
    EmptyKey {
        /// Which half of the key: `platform` or `connection`.
        part: &'static str,
    },
    /// A platform or connection name is too long.
    #[error("{part} has {bytes} bytes: it takes 1 to {} bytes of UTF-8", crate::engine::key::MAX_PART_BYTES)]
    OversizeKey {
        /// Which half of the key: `platform` or `connection`.
        part: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A platform or connection name holds a NUL byte.
    #[error("{part} {value:?} holds a NUL byte: names are text without NUL")]
    NulInKey {
        /// Which half of the key: `platform` or `connection`.
        part: &'static str,
        /// The name as it was given.
        value: String,
    },
    /// A limit of nothing.
    #[error("request count is 0: a limit allows at least 1 per window")]
    ZeroCount,
    /// A window outside its range.
    #[error("window is {window:?}: it takes 1ms to 7 days")]
    WindowOutOfRange {
        /// The window as it was given.
        window: Duration,
    },
    /// The name of no algorithm.
    #[error("algorithm is {name:?}: it takes sliding_window, token_bucket, leaky_bucket, gcra_virtual or gcra_continuous")]
    UnknownAlgorithm {
        /// The name as it was given.
        name: String,
    },
    /// A margin that is longer than its range.
    #[error("{name} is {value:?}: it takes 0s to 60s")]
    MarginOutOfRange {
        /// `delivery bound` or `guard`.
        name: &'static str,
        /// The margin as it was given.
        value: Duration,
    },
    /// A connection without a limit, or with too many.
    #[error("connection has {count} limits: it takes 1 to {}", crate::engine::rate::MAX_LIMITS)]
    LimitCount {
        /// How many were given.
        count: usize,
    },
    /// A request that takes nothing.
    #[error("cost is 0: a request takes at least 1 unit")]
    ZeroCost,
    /// A pause of a connection that is longer than its range.
    #[error("penalty is {pause:?}: it takes more than 0s, at most 7 days")]
    PenaltyOutOfRange {
        /// The pause as it was given.
        pause: Duration,
    },
    /// A deadline that has passed before the request was made.
    #[error("deadline has passed {ago:?} ago: it takes a moment in the future")]
    DeadlineInThePast {
        /// How long ago it was.
        ago: Duration,
    },
    /// A call that would block a thread of an async runtime.
    #[error("a blocking call on a thread of an async runtime holds up its other tasks: await the async form there")]
    InsideRuntime,
}
