//! What happens to proposals and grants on their way, and what came of them.

use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::RequestId;
use turnstile::engine::rate::Niceness;
use turnstile::engine::time::Timestamp;

/// What happens to one proposal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fate {
    pub(crate) commit_after: Duration,
    pub(crate) answer_after: Duration,
    pub(crate) loss: Loss,
}

/// What gets lost of a proposal before it is sent again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Loss {
    #[default]
    Nothing,
    Proposal,
    Answer,
    /// Nothing, and it arrives once more when all is over.
    Repeated,
}

/// What happens to one grant on its way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivery {
    pub(crate) after: Duration,
    /// Of the guard, in thousandths: how long the call takes to reach the platform.
    pub(crate) way: u32,
    /// Its caller has gone: nothing is started.
    pub(crate) unused: bool,
}

/// A call that was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) request: RequestId,
    pub(crate) cost: Cost,
    /// When it reached the platform.
    pub(crate) reached_at: Timestamp,
}

/// A release, and since when (by the owner's counter) its waiter waited for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Released {
    pub(crate) niceness: Niceness,
    pub(crate) arrival: u64,
    pub(crate) waits_since: u64,
    pub(crate) release: u64,
}
