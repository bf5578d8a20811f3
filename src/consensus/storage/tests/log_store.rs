//! The log store as openraft uses it, in both modes, and what is left of it after a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{
    BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, Membership, RaftLogReader, StorageError as RaftError, Vote,
};
use tempfile::TempDir;

use super::raft::{TestConfig, TestMachine, raft_error};
use crate::consensus::storage::{DataDir, LogStore, SnapshotStore, StorageError};

type Store = LogStore<TestConfig>;

struct InMemory;

impl StoreBuilder<TestConfig, Store, TestMachine> for InMemory {
    async fn build(&self) -> Result<((), Store, TestMachine), RaftError<u64>> {
        Ok(((), Store::in_memory(), TestMachine::new(SnapshotStore::in_memory())))
    }
}

struct OnDisk;

impl StoreBuilder<TestConfig, Store, TestMachine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, Store, TestMachine), RaftError<u64>> {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directory = Arc::new(DataDir::open(home.path(), None).map_err(raft_error)?);
        let store = Store::open(&directory).map_err(raft_error)?;
        Ok((home, store, TestMachine::new(SnapshotStore::on_disk(directory))))
    }
}

pub(super) fn id(term: u64, index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

pub(super) fn entry(index: u64, command: Vec<u8>) -> Entry<TestConfig> {
    Entry { log_id: id(1, index), payload: EntryPayload::Normal(command) }
}

fn membership(index: u64) -> Entry<TestConfig> {
    let nodes = [(1, BasicNode::new("first:1")), (2, BasicNode::new("second:2"))];
    let membership = Membership::new(vec![[1, 2].into()], std::collections::BTreeMap::from(nodes));
    Entry { log_id: id(1, index), payload: EntryPayload::Membership(membership) }
}

fn open(home: &TempDir) -> (Arc<DataDir>, Store) {
    let directory = Arc::new(DataDir::open(home.path(), None).expect("the directory is free"));
    let store = Store::open(&directory).expect("the log is whole");
    (directory, store)
}

#[test]
fn openrafts_suite_passes_in_memory() {
    Suite::test_all(InMemory).expect("the suite passes");
}

#[test]
fn openrafts_suite_passes_on_disk() {
    Suite::test_all(OnDisk).expect("the suite passes");
}

#[tokio::test]
async fn a_restarted_store_holds_what_was_acknowledged() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let vote = Vote::new_committed(3, 7);
    let expected = {
        let (_directory, mut store) = open(&home);
        store.blocking_append([membership(0)]).await.expect("appended");
        store.blocking_append((1..=20).map(|index| entry(index, vec![7; 100]))).await.expect("appended");
        store.save_vote(&vote).await.expect("saved");
        store.purge(id(1, 4)).await.expect("purged");
        store.truncate(id(1, 18)).await.expect("truncated");
        store.blocking_append([membership(18)]).await.expect("appended");
        (store.get_log_state().await, format!("{:?}", store.try_get_log_entries(..).await), store.log_bytes())
    };
    let (_directory, mut store) = open(&home);
    assert_eq!(store.get_log_state().await, expected.0);
    assert_eq!(format!("{:?}", store.try_get_log_entries(..).await), expected.1);
    assert_eq!(store.read_vote().await.expect("read"), Some(vote));
    assert_eq!(store.log_bytes().load(Ordering::Relaxed), expected.2.load(Ordering::Relaxed));
    let entries = store.try_get_log_entries(..).await.expect("read");
    assert_eq!(entries.first().map(|entry| entry.log_id), Some(id(1, 5)));
    assert_eq!(entries.last().map(|entry| entry.payload.clone()), Some(membership(18).payload));
}

#[tokio::test]
async fn a_log_goes_on_after_a_snapshot_replaced_all_of_it() {
    let home = tempfile::tempdir().expect("a temporary directory");
    {
        let (_directory, mut store) = open(&home);
        store.blocking_append((0..=5).map(|index| entry(index, vec![1]))).await.expect("appended");
        store.purge(id(2, 100)).await.expect("purged");
        store.blocking_append([entry(101, vec![2])]).await.expect("appended");
    }
    let (_directory, mut store) = open(&home);
    let state = store.get_log_state().await.expect("read");
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(2, 100)), Some(id(1, 101))));
    assert_eq!(store.try_get_log_entries(..).await.expect("read").len(), 1);
}

#[tokio::test]
async fn log_bytes_follow_appends_truncations_and_purges() {
    let mut store = Store::in_memory();
    let bytes = store.log_bytes();
    store.blocking_append((0..10).map(|index| entry(index, vec![7; 100]))).await.expect("appended");
    let all = bytes.load(Ordering::Relaxed);
    assert!((1_000..2_000).contains(&all), "{all}");
    store.truncate(id(1, 5)).await.expect("truncated");
    assert_eq!(bytes.load(Ordering::Relaxed), all / 2);
    store.purge(id(1, 9)).await.expect("purged");
    assert_eq!(bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_read_for_replication_is_bounded_in_bytes_and_never_empty() {
    let mut store = Store::in_memory();
    store.blocking_append((0..10).map(|index| entry(index, vec![7; 600 << 10]))).await.expect("appended");
    assert_eq!(store.limited_get_log_entries(3, 10).await.expect("read").len(), 2);
    assert_eq!(store.limited_get_log_entries(9, 10).await.expect("read").len(), 1);
    assert_eq!(store.try_get_log_entries(3..10).await.expect("read").len(), 7);
    let mut reader = store.get_log_reader().await;
    assert_eq!(reader.try_get_log_entries(2..=4).await.expect("read").len(), 3);
}

#[tokio::test]
async fn a_log_purged_past_the_snapshot_is_refused() {
    let mut store = Store::in_memory();
    store.require_snapshot(None).expect("nothing was purged");
    store.blocking_append((0..10).map(|index| entry(index, vec![7]))).await.expect("appended");
    store.purge(id(1, 4)).await.expect("purged");
    store.require_snapshot(Some(id(1, 4))).expect("it covers what was purged");
    let missing = store.require_snapshot(None).expect_err("the snapshot is gone");
    assert!(matches!(missing, StorageError::PurgedPastSnapshot { purged: 4, snapshot: None }));
    let old = store.require_snapshot(Some(id(1, 3))).expect_err("the snapshot is an old one");
    assert_eq!(old.to_string(), "the log was purged up to entry 4, but the snapshot ends at entry 3");
}

#[tokio::test]
async fn the_directory_stays_locked_until_the_store_is_dropped() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (directory, store) = open(&home);
    drop(directory);
    assert!(matches!(DataDir::open(home.path(), None), Err(StorageError::Locked { .. })));
    drop(store);
    DataDir::open(home.path(), None).expect("the thread has ended and let go");
}

#[tokio::test]
async fn a_log_that_begins_late_without_a_purge_opens_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    {
        let (_directory, mut store) = open(&home);
        store.blocking_append([entry(7, vec![1])]).await.expect("appended");
    }
    let (_directory, mut store) = open(&home);
    let state = store.get_log_state().await.expect("read");
    assert_eq!((state.last_purged_log_id, state.last_log_id), (None, Some(id(1, 7))));
}

#[tokio::test]
async fn an_entry_that_leaves_a_hole_is_refused() {
    let home = tempfile::tempdir().expect("a temporary directory");
    for mut store in [Store::in_memory(), open(&home).1] {
        store.blocking_append([entry(0, vec![1])]).await.expect("appended");
        store.blocking_append([entry(2, vec![1])]).await.expect_err("entry 1 is missing");
    }
}

#[tokio::test]
async fn entries_that_were_purged_before_they_came_leave_the_log_whole() {
    let home = tempfile::tempdir().expect("a temporary directory");
    {
        let (_directory, mut store) = open(&home);
        store.purge(id(1, 2)).await.expect("purged");
        let late = [entry(1, vec![1]), entry(2, vec![1]), entry(3, vec![1])];
        store.blocking_append(late).await.expect("appended");
    }
    let (_directory, mut store) = open(&home);
    let entries = store.try_get_log_entries(..).await.expect("read");
    assert_eq!(entries.first().map(|entry| entry.log_id), Some(id(1, 3)));
}
