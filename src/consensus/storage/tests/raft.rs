//! A small Raft configuration, and a state machine that only remembers what openraft asks for.

use std::io::{Cursor, Error};
use std::sync::Arc;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    BasicNode, Entry, EntryPayload, ErrorSubject, ErrorVerb, LogId, OptionalSend, RaftSnapshotBuilder, SnapshotMeta,
    StorageError as RaftError, StoredMembership,
};

use crate::consensus::storage::{SavedSnapshot, SnapshotStore, StorageError};

openraft::declare_raft_types!(
    /// Commands are bytes, answers are nothing.
    pub(super) TestConfig:
        D = Vec<u8>,
        R = (),
        NodeId = u64,
        Node = BasicNode,
        Entry = Entry<TestConfig>,
        SnapshotData = Cursor<Vec<u8>>,
);

pub(super) type Applied = (Option<LogId<u64>>, StoredMembership<u64, BasicNode>);

#[derive(Debug, Clone)]
pub(super) struct TestMachine {
    applied: Applied,
    snapshots: Arc<SnapshotStore<BasicNode>>,
}

impl TestMachine {
    pub(super) fn new(snapshots: SnapshotStore<BasicNode>) -> Self {
        Self { applied: Applied::default(), snapshots: Arc::new(snapshots) }
    }
}

pub(super) fn raft_error(error: StorageError) -> RaftError<u64> {
    RaftError::from_io_error(ErrorSubject::Store, ErrorVerb::Read, Error::other(error))
}

impl RaftStateMachine<TestConfig> for TestMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<Applied, RaftError<u64>> {
        Ok(self.applied.clone())
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, RaftError<u64>>
    where
        I: IntoIterator<Item = Entry<TestConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let applied = entries.into_iter().map(|entry| {
            self.applied.0 = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                self.applied.1 = StoredMembership::new(Some(entry.log_id), membership);
            }
        });
        Ok(applied.collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, RaftError<u64>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), RaftError<u64>> {
        self.applied = (meta.last_log_id, meta.last_membership.clone());
        let saved = SavedSnapshot { meta: meta.clone(), data: Arc::new(snapshot.into_inner()) };
        self.snapshots.save(&saved).map_err(raft_error)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TestConfig>>, RaftError<u64>> {
        let saved = self.snapshots.load().map_err(raft_error)?;
        Ok(saved.map(|SavedSnapshot { meta, data }| Snapshot { meta, snapshot: Box::new(Cursor::new(data.to_vec())) }))
    }
}

impl RaftSnapshotBuilder<TestConfig> for TestMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TestConfig>, RaftError<u64>> {
        let (last_log_id, last_membership) = self.applied.clone();
        let meta = SnapshotMeta { last_log_id, last_membership, snapshot_id: format!("{last_log_id:?}") };
        let snapshot = b"state".to_vec();
        let saved = SavedSnapshot { meta: meta.clone(), data: Arc::new(snapshot.clone()) };
        self.snapshots.save(&saved).map_err(raft_error)?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(snapshot)) })
    }
}
