//! Vote, purge point and snapshot: whole, or a clear error.

use std::fs;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{BasicNode, SnapshotMeta, StoredMembership, Vote};

use super::log_store::{entry, id};
use super::raft::TestConfig;
use crate::consensus::storage::{DataDir, LogStore, SavedSnapshot, SnapshotStore, StorageError};

fn snapshot(index: u64) -> SavedSnapshot<BasicNode> {
    let meta = SnapshotMeta {
        last_log_id: Some(id(1, index)),
        last_membership: StoredMembership::default(),
        snapshot_id: format!("until-{index}"),
    };
    SavedSnapshot { meta, data: Arc::new(vec![0; 100]) }
}

/// Calls `open` with every byte of the file changed in turn, and with the file cut at every length.
fn damage_everywhere(path: &std::path::Path, open: impl Fn() -> Result<(), StorageError>) {
    let whole = fs::read(path).expect("read");
    let changed = (0..whole.len()).map(|at| {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x04;
        damaged
    });
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    for damaged in changed.chain(cut) {
        fs::write(path, &damaged).expect("written");
        let refused = open().expect_err("damaged").to_string();
        assert!(refused.contains(path.to_str().expect("a readable path")), "{refused}");
    }
    fs::write(path, whole).expect("written");
    open().expect("whole again");
}

#[test]
fn a_snapshot_reads_back_and_damage_to_it_is_named() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = Arc::new(DataDir::open(home.path(), None).expect("created"));
    let store = SnapshotStore::on_disk(Arc::clone(&directory));
    assert_eq!(store.load().expect("none yet"), None);
    for index in [3, 9] {
        store.save(&snapshot(index)).expect("saved");
        assert_eq!(store.load().expect("whole"), Some(snapshot(index)));
    }
    damage_everywhere(&home.path().join("snapshot"), || store.load().map(drop));
}

#[test]
fn a_snapshot_in_memory_reads_back() {
    let store = SnapshotStore::in_memory();
    assert_eq!(store.load().expect("none yet"), None);
    store.save(&snapshot(3)).expect("saved");
    assert_eq!(store.load().expect("kept"), Some(snapshot(3)));
}

#[tokio::test]
async fn a_damaged_vote_or_purge_point_is_refused_by_name() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = Arc::new(DataDir::open(home.path(), None).expect("created"));
    {
        let mut store = LogStore::<TestConfig>::open(&directory).expect("empty");
        store.blocking_append((0..4).map(|index| entry(index, vec![7]))).await.expect("appended");
        store.save_vote(&Vote::new(3, 7)).await.expect("saved");
        store.purge(id(1, 2)).await.expect("purged");
    }
    for name in ["vote", "purged"] {
        damage_everywhere(&home.path().join(name), || LogStore::<TestConfig>::open(&directory).map(drop));
    }
}
