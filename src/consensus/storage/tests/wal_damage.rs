//! The log damaged: a tail that was never acknowledged is dropped, anything else is refused.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::wal::{log, open, record, records, segments};
use crate::consensus::storage::record::Record;
use crate::consensus::storage::{LogDamage, StorageError};

/// A log of one segment that holds a short record and a long one of several sectors.
fn log_with_long_record() -> (TempDir, PathBuf, Vec<u8>) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut wal, _) = open(home.path(), 0).expect("empty");
    let long = Record { index: 1, payload: vec![0xAB; 2_000] };
    wal.append(&[record(0), long]).expect("appended");
    wal.sync().expect("synced");
    let path = segments(home.path()).remove(0);
    let bytes = fs::read(&path).expect("read");
    (home, path, bytes)
}

#[test]
fn any_changed_byte_is_corruption_and_the_file_is_left_as_it_is() {
    let (home, segments) = log();
    for path in &segments {
        let whole = fs::read(path).expect("read");
        for at in 0..whole.len() {
            for changed in [whole[at] ^ 0x01, whole[at] ^ 0x80, !whole[at], 0] {
                if changed == whole[at] {
                    continue;
                }
                let mut damaged = whole.clone();
                damaged[at] = changed;
                fs::write(path, &damaged).expect("written");
                let refused = open(home.path(), 0).expect_err(&format!("byte {at} of {path:?}")).to_string();
                assert!(refused.contains(path.to_str().expect("a readable path")), "{refused}");
                assert_eq!(fs::read(path).expect("read"), damaged);
            }
        }
        fs::write(path, whole).expect("written");
    }
}

#[test]
fn corruption_names_file_offset_index_and_rule() {
    let (home, path, mut bytes) = log_with_long_record();
    let long_record_at = 24 + 16 + 8;
    bytes[long_record_at + 100] ^= 1;
    fs::write(&path, bytes).expect("written");
    let refused = open(home.path(), 0).expect_err("damaged");
    let expected = format!(
        "{} is corrupt at offset {long_record_at}, where entry 1 should be: the checksum of the record does not match",
        path.display()
    );
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn a_log_cut_anywhere_in_its_last_segment_keeps_every_whole_record() {
    let (home, segments) = log();
    let last = segments.last().expect("several");
    let whole = fs::read(last).expect("read");
    let mut most = 0;
    for length in 0..=whole.len() {
        fs::write(last, &whole[..length]).expect("written");
        let (mut wal, found) = open(home.path(), 0).expect("a tail was never acknowledged");
        let next = wal.next_index();
        assert_eq!(found, records(0..next), "cut at {length}");
        assert!(next >= most, "cut at {length}");
        most = next;
        wal.append(&records(next..next + 1)).expect("appended");
        wal.sync().expect("synced");
        drop(wal);
        assert_eq!(open(home.path(), 0).expect("whole").1, records(0..next + 1), "cut at {length}, and continued");
        for added in super::wal::segments(home.path()).iter().filter(|path| !segments.contains(path)) {
            fs::remove_file(added).expect("removed");
        }
    }
    assert_eq!(most, 15);
}

#[test]
fn a_tail_of_zeros_is_dropped() {
    let (home, segments) = log();
    let last = segments.last().expect("several");
    let whole = fs::read(last).expect("read");
    for zeros in [1, 7, 8, 15, 16, 17, 24, 100, 512, 5_000] {
        let mut tail = whole.clone();
        tail.resize(whole.len() + zeros, 0);
        fs::write(last, tail).expect("written");
        assert_eq!(open(home.path(), 0).expect("never acknowledged").1, records(0..15), "{zeros} zeros");
        assert_eq!(fs::read(last).expect("read"), whole);
    }
}

#[test]
fn a_segment_of_zeros_is_dropped() {
    let (home, _) = log();
    let next = home.path().join("log-00000000000000000015.wal");
    for length in [0, 5, 24, 4_096] {
        fs::write(&next, vec![0; length]).expect("written");
        assert_eq!(open(home.path(), 0).expect("never acknowledged").1, records(0..15));
        assert!(!next.exists());
    }
}

#[test]
fn a_record_whose_last_sectors_were_not_written_is_dropped() {
    let (home, path, bytes) = log_with_long_record();
    for border in [512, 1_024, 1_536, 2_048] {
        let mut torn = bytes.clone();
        torn[border..].fill(0);
        fs::write(&path, torn).expect("written");
        assert_eq!(open(home.path(), 0).expect("never acknowledged").1, records(0..1), "zeros from {border}");
    }
}

#[test]
fn zeros_within_the_last_sector_of_a_record_are_corruption() {
    let (home, path, mut bytes) = log_with_long_record();
    bytes[2_049..].fill(0);
    fs::write(&path, bytes).expect("written");
    let refused = open(home.path(), 0).expect_err("no sector is written in part");
    assert!(matches!(refused, StorageError::CorruptLog { damage: LogDamage::RecordBody, .. }), "{refused}");
}

#[test]
fn a_missing_segment_is_a_hole() {
    let (home, segments) = log();
    for missing in &segments[..segments.len() - 1] {
        let content = fs::read(missing).expect("read");
        fs::remove_file(missing).expect("removed");
        let refused = open(home.path(), 0).expect_err("a hole");
        assert!(matches!(refused, StorageError::MissingSegment { .. }), "{refused}");
        fs::write(missing, content).expect("written");
    }
}

#[test]
fn a_segment_cut_before_another_is_corruption() {
    let (home, segments) = log();
    let whole = fs::read(&segments[0]).expect("read");
    let with_zeros = [whole.as_slice(), &[0; 100]].concat();
    let cut = (0..whole.len()).map(|length| &whole[..length]);
    for damaged in cut.chain([with_zeros.as_slice()]) {
        fs::write(&segments[0], damaged).expect("written");
        let refused = open(home.path(), 0).expect_err("another segment follows");
        let cut_or_hole =
            matches!(refused, StorageError::CorruptLog { damage: LogDamage::Cut, .. } | StorageError::MissingSegment { .. });
        assert!(cut_or_hole, "{refused}");
        assert_eq!(fs::read(&segments[0]).expect("read"), damaged);
    }
}

#[test]
fn segments_that_changed_places_are_corruption() {
    let (home, segments) = log();
    let aside = home.path().join("aside");
    for (from, to) in [(&segments[0], &aside), (&segments[1], &segments[0]), (&aside, &segments[1])] {
        fs::rename(from, to).expect("renamed");
    }
    let refused = open(home.path(), 0).expect_err("out of order");
    assert!(matches!(refused, StorageError::CorruptLog { damage: LogDamage::SegmentIndex { .. }, .. }), "{refused}");
}

#[test]
fn a_record_out_of_order_is_corruption() {
    let (home, segments) = log();
    let content = fs::read(&segments[1]).expect("read");
    let mut first = fs::read(&segments[0]).expect("read");
    first.extend(&content[24..]);
    fs::write(&segments[0], first).expect("written");
    for segment in &segments[1..] {
        fs::remove_file(segment).expect("removed");
    }
    open(home.path(), 0).expect("the records follow each other");
    let mut twice = fs::read(&segments[0]).expect("read");
    twice.extend(&content[24..]);
    fs::write(&segments[0], twice).expect("written");
    let refused = open(home.path(), 0).expect_err("records come twice");
    assert!(matches!(refused, StorageError::CorruptLog { damage: LogDamage::Index { .. }, .. }), "{refused}");
}
