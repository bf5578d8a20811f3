//! The write-ahead log: segments of records, one after the other, without a hole.
//!
//! Promises: after [`Wal::sync`] everything appended is on the disk. [`Wal::open`] gives back every
//! record that was ever synced and not truncated or purged since; a tail that was never synced is
//! dropped with a warning; anything else that is wrong is an error, and no file is changed.
//! After a failed write or sync every later call returns that first error.
//! Must not: know what a record means, or where the log begins: its owner keeps the purge point.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StorageError;
use super::record::Record;
use super::segment::{self, Segment};
use super::small_file::sync_directory;

/// A segment that has reached this many bytes is closed, and the next batch begins another.
const SEGMENT_BYTES: u64 = 8 << 20;

/// A log on the disk, open for appending.
#[derive(Debug)]
pub(super) struct Wal {
    directory: PathBuf,
    /// Oldest first; the last one is written to.
    segments: Vec<Segment>,
    next_index: u64,
    segment_bytes: u64,
    /// Whether a segment was created whose name is not durable yet.
    created: bool,
    failure: Option<Arc<StorageError>>,
}

/// What every change of the log returns: the first failure, for ever.
pub(super) type WalResult = Result<(), Arc<StorageError>>;

impl Wal {
    /// Opens the log in a directory. `begin` is the first index it may still hold: what lies
    /// before was purged.
    pub(super) fn open(directory: &Path, begin: u64) -> Result<(Self, Vec<Record>), StorageError> {
        Self::open_with(directory, begin, SEGMENT_BYTES)
    }

    /// As [`Self::open`], with segments of another size.
    pub(super) fn open_with(directory: &Path, begin: u64, segment_bytes: u64) -> Result<(Self, Vec<Record>), StorageError> {
        let mut firsts = segment_indices(directory)?;
        // A purge that was interrupted: these are not needed, so not even read.
        let purged = firsts.windows(2).take_while(|pair| matches!(pair, [_, next] if *next <= begin)).count();
        let kept = firsts.split_off(purged);

        let mut wal = Self {
            directory: directory.to_owned(),
            segments: Vec::new(),
            next_index: kept.first().copied().unwrap_or(begin),
            segment_bytes,
            created: false,
            failure: None,
        };
        if wal.next_index > begin {
            return Err(wal.hole(begin, wal.next_index));
        }
        let mut records = Vec::new();
        let mut torn = false;
        for first in &kept {
            if *first != wal.next_index {
                return Err(wal.hole(wal.next_index, *first));
            }
            let path = directory.join(segment::file_name(*first));
            let loaded = Segment::load(&path, *first, kept.last() == Some(first))?;
            wal.next_index = loaded.segment.next_index();
            wal.segments.push(loaded.segment);
            records.extend(loaded.records);
            torn = loaded.torn;
        }
        for first in firsts {
            let path = directory.join(segment::file_name(first));
            fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
        }
        wal.settle_tail(torn)?;
        if wal.next_index < begin {
            wal.forget_before(begin)?;
        }
        sync_directory(directory)?;
        records.retain(|record| record.index >= begin);
        Ok((wal, records))
    }

    /// The index the next appended record must have.
    pub(super) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Whether the log holds no record that was not purged.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends a batch with one write; durable after [`Self::sync`].
    pub(super) fn append(&mut self, batch: &[Record]) -> WalResult {
        self.guarded(|wal| {
            for record in batch {
                if record.index != wal.next_index {
                    return Err(StorageError::OutOfOrder { expected: wal.next_index, found: record.index });
                }
                wal.next_index += 1;
            }
            let Some(first) = batch.first() else {
                return Ok(());
            };
            if wal.segments.last().is_none_or(|segment| segment.written() >= wal.segment_bytes) {
                // A segment is only followed by another once it is complete on the disk.
                wal.sync_segment()?;
                wal.segments.push(Segment::create(&wal.directory, first.index)?);
                wal.created = true;
            }
            wal.segments.last_mut().map_or(Ok(()), |segment| segment.append(batch))
        })
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&mut self) -> WalResult {
        self.guarded(|wal| {
            wal.sync_segment()?;
            if wal.created {
                sync_directory(&wal.directory)?;
                wal.created = false;
            }
            Ok(())
        })
    }

    /// Drops the records from `index` on, durably.
    pub(super) fn truncate_from(&mut self, index: u64) -> WalResult {
        self.guarded(|wal| {
            while let Some(segment) = wal.segments.pop_if(|segment| segment.first() >= index) {
                wal.next_index = segment.first();
                segment.delete()?;
                // One at a time: a crash in between must not leave a hole.
                sync_directory(&wal.directory)?;
            }
            if let Some(segment) = wal.segments.last_mut() {
                segment.truncate_from(index)?;
                wal.next_index = segment.next_index();
            }
            Ok(())
        })
    }

    /// Deletes the segments that hold nothing from `begin` on, durably; an empty log goes on there.
    ///
    /// The caller has already made `begin` durable, and passes it to [`Self::open`] the next time.
    pub(super) fn begin_at(&mut self, begin: u64) -> WalResult {
        self.guarded(|wal| wal.forget_before(begin))
    }

    /// Runs a change unless an earlier one failed, and keeps the first failure.
    fn guarded(&mut self, change: impl FnOnce(&mut Self) -> Result<(), StorageError>) -> WalResult {
        if let Some(failure) = &self.failure {
            return Err(Arc::clone(failure));
        }
        change(self).map_err(|error| {
            let failure = Arc::new(error);
            self.failure = Some(Arc::clone(&failure));
            if let Some(segment) = self.segments.last() {
                segment.abandon_unsynced();
            }
            failure
        })
    }

    fn sync_segment(&mut self) -> Result<(), StorageError> {
        self.segments.last_mut().map_or(Ok(()), Segment::sync)
    }

    /// Makes the end of the log certain: an unfinished tail goes, and what was read is synced,
    /// because the process that wrote it may have been killed before it did.
    fn settle_tail(&mut self, torn: bool) -> Result<(), StorageError> {
        let Some(mut last) = self.segments.pop() else {
            return Ok(());
        };
        if torn {
            tracing::warn!(
                path = %last.path().display(), offset = last.written(), next_index = last.next_index(),
                "dropping the unfinished end of the log; it was never acknowledged"
            );
        }
        if last.written() == 0 {
            return last.delete();
        }
        last.cut()?;
        self.segments.push(last);
        Ok(())
    }

    /// Deletes the segments that hold nothing from `begin` on.
    fn forget_before(&mut self, begin: u64) -> Result<(), StorageError> {
        let gone = self.segments.iter().take_while(|segment| segment.next_index() <= begin).count();
        for segment in self.segments.drain(..gone) {
            segment.delete()?;
        }
        self.next_index = self.next_index.max(begin);
        sync_directory(&self.directory)
    }

    fn hole(&self, expected_index: u64, found: u64) -> StorageError {
        let found = self.directory.join(segment::file_name(found));
        StorageError::MissingSegment { directory: self.directory.clone(), expected_index, found }
    }
}

/// The first indices of the segments in a directory, in order.
fn segment_indices(directory: &Path) -> Result<Vec<u64>, StorageError> {
    let mut indices = Vec::new();
    for entry in fs::read_dir(directory).map_err(StorageError::io("list", directory))? {
        let name = entry.map_err(StorageError::io("list", directory))?.file_name();
        indices.extend(name.to_str().and_then(segment::first_index_of));
    }
    indices.sort_unstable();
    Ok(indices)
}
