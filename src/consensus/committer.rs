//! The leader's side of a commit: gathers commands, stamps them with ledger time, writes them as one entry.
//!
//! ```text
//! commands of all proposers ──► gathered while an entry is being written ──► stamped ──► openraft ──► answers
//! ```
//!
//! Promises: stamps grow in log order; an answer is that of a committed, applied entry.
//! Must not: stamp before this leader has applied an entry of its own term, for only then it knows the newest stamp.

use std::sync::Arc;

use openraft::error::{ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::check_quorum::CheckQuorum;
use super::state_machine::LedgerReader;
use super::types::Raft;
use crate::clock::Clock;
use crate::engine::grant::NodeId;
use crate::engine::ledger::{Answer, Command, LeaderClock, LedgerEntry};
use crate::engine::time::LedgerTime;

/// The most commands one entry carries. Each may be a batch of its own.
const MAX_COMMANDS_PER_ENTRY: usize = 64;

/// How many commands may wait for the entry in front of them.
const QUEUE: usize = 256;

/// Why a command was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub(crate) enum CommitError {
    /// Somebody else leads, or nobody does. The command may have been committed all the same.
    #[error("this node does not lead{}", leader.map(|leader| format!(": node {leader} does")).unwrap_or_default())]
    NotLeader {
        /// Who does, if that is known.
        leader: Option<NodeId>,
    },
    /// Raft has stopped, for good.
    #[error("consensus has stopped: {reason}")]
    Stopped {
        /// What it said.
        reason: String,
    },
}

struct Submission {
    command: Command,
    reply: oneshot::Sender<Result<Answer, CommitError>>,
}

/// The way in.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    submissions: mpsc::Sender<Submission>,
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submission").finish_non_exhaustive()
    }
}

impl Committer {
    /// A committer, and its work, which ends when all handles are gone.
    pub(super) fn new(
        raft: Raft,
        ledger: LedgerReader,
        check_quorum: Arc<CheckQuorum>,
        clock: Clock,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (submissions, inbox) = mpsc::channel(QUEUE);
        let writer = Writer { raft, ledger, check_quorum, clock, leader_clock: LeaderClock::default() };
        (Self { submissions }, writer.run(inbox))
    }

    /// Has a command committed, and answers when it is applied.
    ///
    /// # Errors
    /// [`CommitError`]; the command may have been committed all the same.
    pub(crate) async fn submit(&self, command: Command) -> Result<Answer, CommitError> {
        let gone = || CommitError::Stopped { reason: "the committer has ended".to_owned() };
        let (reply, answer) = oneshot::channel();
        self.submissions.send(Submission { command, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Writer {
    raft: Raft,
    ledger: LedgerReader,
    check_quorum: Arc<CheckQuorum>,
    clock: Clock,
    leader_clock: LeaderClock,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Submission>) {
        let mut gathered = Vec::with_capacity(MAX_COMMANDS_PER_ENTRY);
        while inbox.recv_many(&mut gathered, MAX_COMMANDS_PER_ENTRY).await > 0 {
            let (commands, replies): (Vec<_>, Vec<_>) =
                gathered.drain(..).map(|submission| (submission.command, submission.reply)).unzip();
            match self.write(commands).await {
                Ok(answers) => {
                    for (reply, answer) in replies.into_iter().zip(answers) {
                        // Whoever asked may be gone.
                        drop(reply.send(Ok(answer)));
                    }
                }
                Err(error) => {
                    for reply in replies {
                        drop(reply.send(Err(error.clone())));
                    }
                }
            }
        }
    }

    async fn write(&mut self, commands: Vec<Command>) -> Result<Vec<Answer>, CommitError> {
        let (stamp, term) = self.stamp()?;
        let mut metrics = self.raft.metrics();
        let another_term = metrics.wait_for(|metrics| metrics.current_term != term || metrics.running_state.is_err());
        let written = tokio::select! {
            biased;
            written = self.raft.client_write(LedgerEntry { stamp, commands }) => written,
            // A leader that was deposed may never hear what became of its entry.
            _ = another_term => return Err(CommitError::NotLeader { leader: None }),
        };
        match written {
            Ok(response) => Ok(response.data),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(CommitError::NotLeader { leader: forward.leader_id.map(NodeId::new) })
            }
            Err(RaftError::APIError(error @ ClientWriteError::ChangeMembershipError(_))) => {
                Err(CommitError::Stopped { reason: error.to_string() })
            }
            Err(RaftError::Fatal(fatal)) => Err(CommitError::Stopped { reason: fatal.to_string() }),
        }
    }

    /// Ledger time now, and the term in which it is this node's to say.
    fn stamp(&mut self) -> Result<(LedgerTime, u64), CommitError> {
        if self.check_quorum.hands_over() {
            return Err(CommitError::NotLeader { leader: None });
        }
        let now = self.clock.now();
        let (term, leader, last_applied_term) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            if let Err(fatal) = &metrics.running_state {
                return Err(CommitError::Stopped { reason: fatal.to_string() });
            }
            (metrics.current_term, metrics.current_leader, metrics.last_applied.map(|last| last.leader_id.term))
        };
        let applied = (last_applied_term == Some(term)).then(|| self.ledger.newest_stamp());
        let stamp = self.leader_clock.stamp(now, term, applied);
        stamp.map(|stamp| (stamp, term)).ok_or(CommitError::NotLeader { leader: leader.map(NodeId::new) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::consensus::network::Network;
    use crate::consensus::state_machine::StateMachine;
    use crate::consensus::storage::{LogStore, SnapshotStore};

    #[tokio::test]
    async fn a_leader_stamps_nothing_before_it_has_applied_an_entry_of_its_own_term_and_then_ever_later() {
        let clock = Clock::start();
        let machine = StateMachine::load(SnapshotStore::in_memory(), clock).unwrap();
        let ledger = machine.reader();
        let config = Arc::new(openraft::Config::default().validate().unwrap());
        let check_quorum = Arc::new(CheckQuorum::new(Duration::from_millis(200)));
        let transport = Arc::new(crate::consensus::transport::Alone);
        let network = Network { transport, check_quorum: Arc::clone(&check_quorum) };
        let raft = Raft::new(1, config, network, LogStore::in_memory(), machine).await.unwrap();
        let mut writer = Writer { raft: raft.clone(), ledger, check_quorum, clock, leader_clock: LeaderClock::default() };
        assert_eq!(writer.stamp().map(|(stamp, _)| stamp), Err(CommitError::NotLeader { leader: None }));
        raft.initialize(std::collections::BTreeSet::from([1])).await.unwrap();
        let mut metrics = raft.metrics();
        let applied = |metrics: &openraft::RaftMetrics<_, _>| {
            metrics.last_applied.is_some_and(|last: openraft::LogId<u64>| last.leader_id.term == metrics.current_term)
        };
        metrics.wait_for(applied).await.unwrap();
        let stamps: Vec<LedgerTime> = (0..100).map(|_| writer.stamp().unwrap().0).collect();
        assert!(stamps.is_sorted_by(|earlier, later| earlier < later), "{stamps:?}");
        raft.shutdown().await.unwrap();
        assert!(matches!(writer.stamp(), Err(CommitError::Stopped { .. })));
    }
}
