//! This node's side of a commit: gathers the proposals of all its owners while a batch is in flight.
//!
//! Promises: every proposal has one verdict, in the order of proposing; a batch whose answer was lost is sent again under its number, so it
//! is charged once.
//! Must not: give up on a batch. Its answer may be on the way, and the slots in it belong to somebody.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::committer::CommitError;
use super::join;
use super::state_machine::LedgerReader;
use super::submitter::Submitter;
use crate::clock;
use crate::engine::grant::{Epoch, Incarnation, ShardCount};
use crate::engine::ledger::{Answer, Batch, BatchNumber, Command, Proposal, Verdict};
use crate::engine::ring::Ring;
use crate::engine::shard::Settled;
use crate::engine::time::Timestamp;

/// The most proposals one batch carries: an entry stays well under a megabyte.
const MAX_PROPOSALS_PER_BATCH: usize = 2048;

/// How long the proposer waits before it sends a batch again.
const RETRY_AFTER: Duration = Duration::from_millis(20);

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
    /// Whether the node ends: then it does not join again.
    is_leaving: AtomicBool,
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposer").field("waiting", &self.shared.waiting.lock().len()).finish()
    }
}

impl Proposer {
    /// A proposer for a member that has joined by this ring, and its work, which ends only with consensus or the task's abortion: it returns why.
    pub(crate) fn new(
        member: Incarnation,
        joined: Epoch,
        shards: ShardCount,
        submitter: Submitter,
        ledger: LedgerReader,
    ) -> (Self, impl Future<Output = ProposerEnd> + Send + 'static) {
        let shared =
            Arc::new(Shared { waiting: Mutex::new(Vec::new()), arrived: Notify::new(), is_leaving: AtomicBool::new(false) });
        let work = Work { shared: Arc::clone(&shared), member, joined, shards, submitter, ledger };
        (Self { shared }, work.run())
    }

    /// From now on the node does not join again once it is marked down.
    pub(crate) fn leave(&self) {
        self.shared.is_leaving.store(true, Ordering::Release);
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

struct Work {
    shared: Arc<Shared>,
    member: Incarnation,
    /// By which ring.
    joined: Epoch,
    shards: ShardCount,
    submitter: Submitter,
    ledger: LedgerReader,
}

impl Work {
    async fn run(mut self) -> ProposerEnd {
        let mut number = NonZeroU64::MIN;
        let mut rings = self.ledger.ring();
        loop {
            let batch = tokio::select! {
                batch = gather(&self.shared) => batch,
                // Marked down while nobody proposed anything.
                () = self.is_no_member(&mut rings) => Vec::new(),
            };
            let proposals: Vec<_> = batch.iter().map(|waiting| waiting.proposal.clone()).collect();
            let count = proposals.len();
            let command = Command::Propose(Batch { owner: self.member, number: BatchNumber(number), proposals });
            let verdicts = loop {
                match self.submitter.submit(&command).await {
                    Ok(Answer::Verdicts(verdicts)) => {
                        number = number.saturating_add(1);
                        break verdicts;
                    }
                    Ok(Answer::NotMember) => match self.join_again().await {
                        Ok(epoch) => {
                            number = NonZeroU64::MIN;
                            // What the former run had charged by a lost answer leaves with its window.
                            break vec![Verdict::Moved { epoch }; count];
                        }
                        Err(reason) => return ProposerEnd::Stopped { reason },
                    },
                    Ok(_) => return ProposerEnd::Superseded,
                    Err(CommitError::NotLeader { .. }) => clock::sleep(RETRY_AFTER).await,
                    Err(CommitError::Stopped { reason }) => return ProposerEnd::Stopped { reason },
                }
            };
            deliver(batch, verdicts);
        }
    }

    /// Returns once a ring is in force that this member has no part in. Cancel-safe.
    async fn is_no_member(&self, rings: &mut watch::Receiver<Arc<Ring>>) {
        loop {
            if self.shared.is_leaving.load(Ordering::Acquire) {
                return std::future::pending().await;
            }
            {
                let ring = rings.borrow_and_update();
                if ring.epoch() >= self.joined && !ring.has(self.member.node) {
                    return;
                }
            }
            if rings.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Joins as a new run of this node: what the former one has proposed counts no more.
    async fn join_again(&mut self) -> Result<Epoch, String> {
        if self.shared.is_leaving.load(Ordering::Acquire) {
            // What still comes is another's.
            return Ok(self.ledger.ring().borrow().epoch());
        }
        self.member = self.member.next();
        tracing::info!(node = %self.member.node, "the node had been marked down, and joins again");
        self.joined = join(&self.submitter, self.member, self.shards).await.map_err(|error| error.to_string())?;
        Ok(self.joined)
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
