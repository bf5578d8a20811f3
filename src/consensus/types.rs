//! What openraft is told about our log.

use std::io::Cursor;

use crate::engine::ledger::{Answer, LedgerEntry};

openraft::declare_raft_types!(
    /// Entries of the ledger, answered command by command; members are ids only, addresses are found elsewhere.
    pub TypeConfig:
        D = LedgerEntry,
        R = Vec<Answer>,
        NodeId = u64,
        Node = openraft::EmptyNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

/// The Raft core, as it runs here.
pub(super) type Raft = openraft::Raft<TypeConfig>;

/// How it says that it is.
pub(super) type Metrics = openraft::RaftMetrics<u64, openraft::EmptyNode>;
