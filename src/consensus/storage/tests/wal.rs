//! The log in order: what it reads back after restarts, truncations and purges.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::consensus::storage::StorageError;
use crate::consensus::storage::record::Record;
use crate::consensus::storage::wal::Wal;

/// Small enough for a handful of records to fill several.
const SEGMENT_BYTES: u64 = 200;

/// Payloads of all lengths modulo eight, with zeros at their ends, where a torn tail has them too.
pub(super) fn record(index: u64) -> Record {
    let length = usize::try_from(index).expect("small") * 7 % 61;
    let payload = (0..length).map(|at| if at + 4 > length { 0 } else { 0xC0 }).collect();
    Record { index, payload }
}

pub(super) fn records(indices: std::ops::Range<u64>) -> Vec<Record> {
    indices.map(record).collect()
}

pub(super) fn open(directory: &Path, begin: u64) -> Result<(Wal, Vec<Record>), StorageError> {
    Wal::open_with(directory, begin, SEGMENT_BYTES)
}

/// A log of records 0 to 14 in several segments, and its segments' paths.
pub(super) fn log() -> (TempDir, Vec<PathBuf>) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, none) = open(home.path(), 0).expect("empty");
    assert_eq!(none, []);
    for index in 0..15 {
        wal.append(&records(index..index + 1)).expect("appended");
        wal.sync().expect("synced");
    }
    let segments = segments(home.path());
    assert!(segments.len() >= 3, "{segments:?}");
    (home, segments)
}

pub(super) fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_log_reads_back_across_segments() {
    let (home, _) = log();
    let (wal, found) = open(home.path(), 0).expect("whole");
    assert_eq!((wal.next_index(), found), (15, records(0..15)));
}

#[test]
fn a_truncated_log_goes_on_where_it_was_cut() {
    for index in 0..15 {
        let (home, _) = log();
        let (mut wal, _) = open(home.path(), 0).expect("whole");
        wal.truncate_from(index).expect("truncated");
        assert_eq!(wal.next_index(), index);
        let other = Record { index, payload: b"another leader's".to_vec() };
        wal.append(std::slice::from_ref(&other)).expect("appended");
        wal.sync().expect("synced");
        let found = open(home.path(), 0).expect("whole").1;
        assert_eq!(found, records(0..index).into_iter().chain([other]).collect::<Vec<_>>());
    }
}

#[test]
fn a_purge_deletes_whole_segments_and_an_interrupted_one_is_finished() {
    let (home, segments) = log();
    for begin in 0..=20 {
        let (mut wal, _) = open(home.path(), begin).expect("whole");
        wal.begin_at(begin).expect("purged");
        let (wal, found) = open(home.path(), begin).expect("whole");
        assert_eq!(found, records(begin.min(15)..15));
        assert_eq!(wal.next_index(), begin.max(15));
    }
    assert_eq!(self::segments(home.path()), Vec::<PathBuf>::new(), "{segments:?}");
}

#[test]
fn purged_segments_are_not_read_again() {
    let (home, segments) = log();
    fs::write(&segments[0], "damaged").expect("written");
    let (_, found) = open(home.path(), 14).expect("what is damaged was purged");
    assert_eq!(found, records(14..15));
    assert!(!segments[0].exists());
}

#[test]
fn an_entry_that_does_not_follow_stops_the_log() {
    let (home, _) = log();
    let (mut wal, _) = open(home.path(), 0).expect("whole");
    let refused = wal.append(&records(16..17)).expect_err("a hole");
    assert_eq!(refused.to_string(), "entry 16 does not follow the log, which expects entry 15");
    wal.append(&records(15..16)).expect_err("the log has stopped");
    wal.sync().expect_err("the log has stopped");
    wal.truncate_from(3).expect_err("the log has stopped");
    wal.begin_at(3).expect_err("the log has stopped");
    assert_eq!(open(home.path(), 0).expect("whole").1, records(0..15));
}
