//! This node's side of a commit: gathers the proposals of all its owners while a batch is in flight.
//!
//! Promises: every proposal has one verdict, in the order of proposing; a batch whose answer was lost is sent again under its number, so it
//! is charged once.
//! Must not: give up on a batch. Its answer may be on the way, and the slots in it belong to somebody.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::committer::{CommitError, Committer};
use crate::clock;
use crate::engine::grant::Incarnation;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Answer, Batch, BatchNumber, Command, Proposal, Verdict};
use crate::engine::time::Timestamp;

/// The most proposals one batch carries: an entry stays well under a megabyte.
const MAX_PROPOSALS_PER_BATCH: usize = 2048;

/// How long the proposer waits before it sends a batch again.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// A proposal, answered.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The connection.
    pub key: ConnectionKey,
    /// What the ledger said.
    pub verdict: Verdict,
    /// When the owner proposed it.
    pub proposed_at: Timestamp,
}

/// Where an owner's verdicts go, all of one batch at once.
pub(crate) type Inbox = Arc<dyn Fn(Vec<Settled>) + Send + Sync>;

struct Waiting {
    proposal: Proposal,
    proposed_at: Timestamp,
    inbox: Inbox,
}

/// The proposals of this node's owners, on their way to the ledger.
#[derive(Clone)]
pub(crate) struct Proposer {
    shared: Arc<Shared>,
}

/// Bounded by the owners: each connection has one proposal in flight, and a pause each caller.
struct Shared {
    waiting: Mutex<Vec<Waiting>>,
    arrived: Notify,
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposer").field("waiting", &self.shared.waiting.lock().len()).finish()
    }
}

impl Proposer {
    /// A proposer for this run of this node, and its work, which ends only with consensus or the task's abortion: it returns why.
    pub(crate) fn new(owner: Incarnation, committer: Committer) -> (Self, impl Future<Output = ProposerEnd> + Send + 'static) {
        let shared = Arc::new(Shared { waiting: Mutex::new(Vec::new()), arrived: Notify::new() });
        (Self { shared: Arc::clone(&shared) }, run(shared, owner, committer))
    }

    /// Proposes; the verdict goes to `inbox`. Never blocks.
    pub(crate) fn propose(&self, proposal: Proposal, proposed_at: Timestamp, inbox: &Inbox) {
        self.shared.waiting.lock().push(Waiting { proposal, proposed_at, inbox: Arc::clone(inbox) });
        self.shared.arrived.notify_one();
    }
}

/// Why a proposer ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposerEnd {
    /// Consensus has stopped.
    #[error("{reason}")]
    Stopped {
        /// What it said.
        reason: String,
    },
    /// A later run of this node has joined.
    #[error("another run of this node has joined the cluster")]
    Superseded,
}

async fn run(shared: Arc<Shared>, owner: Incarnation, committer: Committer) -> ProposerEnd {
    let mut number = NonZeroU64::MIN;
    loop {
        let batch = gather(&shared).await;
        let proposals = batch.iter().map(|waiting| waiting.proposal.clone()).collect();
        let command = Batch { owner, number: BatchNumber(number), proposals };
        let verdicts = loop {
            match committer.submit(Command::Propose(command.clone())).await {
                Ok(Answer::Verdicts(verdicts)) => break verdicts,
                Ok(Answer::Superseded | Answer::Joined { .. } | Answer::Ticked) => return ProposerEnd::Superseded,
                Err(CommitError::NotLeader { .. }) => clock::sleep(RETRY_AFTER).await,
                Err(CommitError::Stopped { reason }) => return ProposerEnd::Stopped { reason },
            }
        };
        number = number.saturating_add(1);
        deliver(batch, verdicts);
    }
}

/// Everything that waits, up to a batch. Cancel-safe: proposals are taken without waiting.
async fn gather(shared: &Shared) -> Vec<Waiting> {
    loop {
        {
            let mut waiting = shared.waiting.lock();
            if waiting.len() > MAX_PROPOSALS_PER_BATCH {
                return waiting.drain(..MAX_PROPOSALS_PER_BATCH).collect();
            }
            if !waiting.is_empty() {
                return std::mem::take(&mut waiting);
            }
        }
        shared.arrived.notified().await;
    }
}

/// Hands each inbox its verdicts of this batch.
fn deliver(batch: Vec<Waiting>, verdicts: Vec<Verdict>) {
    let mut by_inbox: Vec<(Inbox, Vec<Settled>)> = Vec::new();
    for (Waiting { proposal, proposed_at, inbox }, verdict) in batch.into_iter().zip(verdicts) {
        let settled = Settled { key: proposal.key, verdict, proposed_at };
        match by_inbox.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &inbox)) {
            Some((_, all)) => all.push(settled),
            None => by_inbox.push((inbox, vec![settled])),
        }
    }
    for (inbox, settled) in by_inbox {
        inbox(settled);
    }
}
