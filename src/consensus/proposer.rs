//! This node's side of a commit: gathers the proposals of all its owners while a batch is in flight.
//!
//! Promises: every proposal has one verdict, in the order of proposing; a batch whose answer was lost is sent again under its number, so it
//! is charged once. The node is a member whenever it may be.
//! Must not: give up on a batch while this run is a member. Its answer may be on the way, and the slots in it belong to somebody.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::committer::CommitError;
use super::state_machine::LedgerReader;
use super::submitter::Submitter;
use super::{hold, join};
use crate::clock::{self, Clock};
use crate::engine::grant::{Epoch, Incarnation, ShardCount};
use crate::engine::ledger::{Action, Adjusted, Adjustment, Answer, Batch, BatchNumber, Command, Proposal, Verdict};
use crate::engine::ring::Ring;
use crate::engine::shard::Settled;
use crate::engine::time::Timestamp;
use crate::telemetry;

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
    /// By which ring this run of the node became a member last.
    joined: watch::Sender<Option<Epoch>>,
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposer").field("waiting", &self.shared.waiting.lock().len()).finish()
    }
}

impl Proposer {
    /// A proposer, and its work: it makes this node a member whenever it is none and may be one, and ends only with consensus or the task's abortion; it
    /// returns why.
    pub(crate) fn new(
        member: Incarnation,
        shards: ShardCount,
        submitter: Submitter,
        ledger: LedgerReader,
        ownership: Ownership,
        clock: Clock,
    ) -> (Self, impl Future<Output = ProposerEnd> + Send + 'static) {
        let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Notify::new(), joined: watch::Sender::new(None) });
        let work = Work { shared: Arc::clone(&shared), member, shards, submitter, ledger, ownership, meter: Meter::new(clock) };
        (Self { shared }, work.run())
    }

    /// By which ring this process became a member last; `None` before the first time.
    pub(crate) fn joined(&self) -> watch::Receiver<Option<Epoch>> {
        self.shared.joined.subscribe()
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
    /// As which run of this node it joins next, or has joined.
    member: Incarnation,
    shards: ShardCount,
    submitter: Submitter,
    ledger: LedgerReader,
    ownership: Ownership,
    meter: Meter,
}

impl Work {
    async fn run(mut self) -> ProposerEnd {
        loop {
            let joined = tokio::select! {
                joined = self.join_when_it_may() => joined,
                () = self.send_away() => return ProposerEnd::Stopped { reason: "the ledger has ended".to_owned() },
            };
            let end = match joined {
                Ok(epoch) => {
                    self.shared.joined.send_replace(Some(epoch));
                    self.propose_as_member(epoch).await
                }
                Err(error) => Some(ProposerEnd::Stopped { reason: error.to_string() }),
            };
            if let Some(end) = end {
                return end;
            }
            tracing::info!(node = %self.member.node, "the node is no member any more");
            // What this run has proposed and heard nothing of leaves with its window.
            self.member = self.member.next();
        }
    }

    /// Joins, as soon as this node may.
    async fn join_when_it_may(&self) -> Result<Epoch, CommitError> {
        let mut may_own = self.ownership.may_own.clone();
        if may_own.wait_for(|may_own| *may_own).await.is_err() {
            // The node ends.
            std::future::pending::<()>().await;
        }
        let nobody_ever_owned = self.ledger.ring().borrow().epoch() == Epoch::default();
        if nobody_ever_owned && !self.ownership.cold_start_hold.is_zero() {
            // Each of the first members does, before anybody can own anything.
            hold(&self.submitter, self.ownership.cold_start_hold).await?;
        }
        join(&self.submitter, self.member, self.shards).await
    }

    /// Tells owners that another owns what they propose for. Returns when there is no ledger any more.
    async fn send_away(&self) {
        let mut rings = self.ledger.ring();
        loop {
            // By a ring that still has this node they would come back at once.
            let Ok(epoch) = rings.wait_for(|ring| !ring.has(self.member.node)).await.map(|ring| ring.epoch()) else { return };
            let batch = gather(&self.shared).await;
            let moved = vec![Verdict::Moved { epoch }; batch.len()];
            deliver(batch, moved);
        }
    }

    /// Proposes what comes until this node is no member any more: then there is no end yet.
    async fn propose_as_member(&self, joined: Epoch) -> Option<ProposerEnd> {
        let mut number = NonZeroU64::MIN;
        let mut rings = self.ledger.ring();
        loop {
            let batch = tokio::select! {
                batch = gather(&self.shared) => batch,
                // Marked down while nobody proposed anything.
                () = self.is_no_member(joined, &mut rings) => Vec::new(),
            };
            let proposals: Vec<_> = batch.iter().map(|waiting| waiting.proposal.clone()).collect();
            let command = Command::Propose(Batch { owner: self.member, number: BatchNumber(number), proposals });
            let verdicts = loop {
                match self.submitter.submit(&command).await {
                    Ok(Answer::Verdicts(verdicts)) => {
                        number = number.saturating_add(1);
                        break verdicts;
                    }
                    Ok(Answer::NotMember) => {
                        self.take_back(batch);
                        return None;
                    }
                    Ok(_) => return Some(ProposerEnd::Superseded),
                    // Who has no log any more may never hear who leads now, and no answer but the one above is left.
                    Err(CommitError::NotLeader { .. }) if self.is_out(joined, &rings.borrow()) => {
                        self.take_back(batch);
                        return None;
                    }
                    Err(CommitError::NotLeader { .. }) => clock::sleep(RETRY_AFTER).await,
                    Err(CommitError::Stopped { reason }) => return Some(ProposerEnd::Stopped { reason }),
                }
            };
            self.meter.count(&batch, &verdicts);
            deliver(batch, verdicts);
        }
    }

    /// Returns once a ring is in force that this member has no part in. Cancel-safe.
    async fn is_no_member(&self, joined: Epoch, rings: &mut watch::Receiver<Arc<Ring>>) {
        if rings.wait_for(|ring| self.is_out(joined, ring)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether a ring is one that this member, which joined by an earlier one, has no part in.
    fn is_out(&self, joined: Epoch, ring: &Ring) -> bool {
        ring.epoch() >= joined && !ring.has(self.member.node)
    }

    /// Has a batch wait again: the next run proposes it, or sends it away.
    fn take_back(&self, batch: Vec<Waiting>) {
        self.shared.waiting.lock().splice(0..0, batch);
        self.shared.arrived.notify_one();
    }
}

/// When a node becomes an owner.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// Whether this node is to be a member.
    pub may_own: watch::Receiver<bool>,
    /// How long the first members of a new cluster hold each connection back, at most.
    pub cold_start_hold: Duration,
}

/// What is counted and measured of batches.
struct Meter {
    clock: Clock,
    latency: Histogram,
    returned: Counter,
}

impl Meter {
    fn new(clock: Clock) -> Self {
        Self { clock, latency: telemetry::COMMIT.histogram(), returned: telemetry::RETURNED.counter() }
    }

    fn count(&self, batch: &[Waiting], verdicts: &[Verdict]) {
        if let Some(oldest) = batch.iter().map(|waiting| waiting.proposed_at).min() {
            self.latency.record(self.clock.now().saturating_since(oldest));
        }
        let returned: u64 =
            batch.iter().zip(verdicts).map(|(waiting, verdict)| returned(&waiting.proposal.action, verdict)).sum();
        if returned > 0 {
            self.returned.increment(returned);
        }
    }
}

/// The units that a proposal has given back.
fn returned(action: &Action, verdict: &Verdict) -> u64 {
    match (action, verdict) {
        // They are proposed again.
        (_, Verdict::Moved { .. }) => 0,
        (Action::Slots { returns, .. }, _) => returns.iter().map(|given_back| given_back.cost.units).sum(),
        (Action::Adjust(Adjustment::Release(release)), Verdict::Adjusted { adjusted: Adjusted::Released { .. }, .. }) => {
            release.cost.units
        }
        (Action::Adjust(_), _) => 0,
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
