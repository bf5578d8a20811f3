//! Everything the log's thread writes: the log, the purge point and the vote.
//!
//! Promises: each call returns after its change is durable; after the first failure every later call
//! returns that failure, whichever of the files it came from.

use std::sync::Arc;

use openraft::{LogId, Vote};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::data_dir::DataDir;
use super::error::StorageError;
use super::record::Record;
use super::small_file::SmallFile;
use super::wal::{Wal, WalResult};
use crate::wire::codec;

/// The first failure, once there is one.
pub(super) type Failure = Option<Arc<StorageError>>;

/// The durable half of a log store.
#[derive(Debug)]
pub(super) struct Disk {
    /// Keeps the directory locked as long as something writes to it.
    directory: Arc<DataDir>,
    wal: Wal,
    purge_point: PurgePoint,
    failure: watch::Sender<Failure>,
}

/// What a disk holds when it is opened.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) records: Vec<Record>,
    pub(super) purged: Option<LogId<u64>>,
    pub(super) vote: Option<Vote<u64>>,
}

/// Where the log begins.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct PurgePoint {
    /// The first index the log may hold. It follows `last`, unless the log was begun at a later
    /// index than zero without anything having been purged.
    begin: u64,
    last: Option<LogId<u64>>,
}

impl Disk {
    /// Opens what a directory holds.
    pub(super) fn open(directory: Arc<DataDir>, failure: watch::Sender<Failure>) -> Result<(Self, Contents), StorageError> {
        let vote = read(&directory, SmallFile::Vote)?;
        let purge_point: PurgePoint = read(&directory, SmallFile::Purged)?.unwrap_or_default();
        let (wal, records) = Wal::open(directory.path(), purge_point.begin)?;
        let contents = Contents { records, purged: purge_point.last, vote };
        Ok((Self { directory, wal, purge_point, failure }, contents))
    }

    /// Appends all records with one write and one sync.
    ///
    /// Entries that were purged before they came have nothing to be written for: a snapshot holds them.
    pub(super) fn append(&mut self, batch: &[Record]) -> WalResult {
        self.guarded(|disk| {
            let purged = batch.partition_point(|record| disk.purge_point.last.is_some_and(|last| record.index <= last.index));
            let batch = batch.get(purged..).unwrap_or_default();
            if let Some(first) = batch.first()
                && disk.wal.is_empty()
                && first.index > disk.wal.next_index()
            {
                disk.begin_at(PurgePoint { begin: first.index, ..disk.purge_point })?;
            }
            disk.wal.append(batch)?;
            disk.wal.sync()
        })
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) -> WalResult {
        self.guarded(|disk| disk.wal.truncate_from(index))
    }

    /// Drops the entries up to and including `last`.
    pub(super) fn purge_to(&mut self, last: LogId<u64>) -> WalResult {
        self.guarded(|disk| {
            let begin = disk.purge_point.begin.max(last.index.saturating_add(1));
            disk.begin_at(PurgePoint { begin, last: Some(last) })
        })
    }

    /// Keeps the vote.
    pub(super) fn save_vote(&mut self, vote: &Vote<u64>) -> WalResult {
        self.guarded(|disk| write(&disk.directory, SmallFile::Vote, vote).map_err(Arc::new))
    }

    /// Moves the log's beginning. The point goes first: segments that outlive it are deleted when
    /// the log is opened, but a log whose beginning is missing would be a hole.
    fn begin_at(&mut self, purge_point: PurgePoint) -> WalResult {
        write(&self.directory, SmallFile::Purged, &purge_point)?;
        self.purge_point = purge_point;
        self.wal.begin_at(purge_point.begin)
    }

    fn guarded(&mut self, change: impl FnOnce(&mut Self) -> WalResult) -> WalResult {
        if let Some(failure) = self.failure.borrow().as_ref() {
            return Err(Arc::clone(failure));
        }
        change(self).inspect_err(|failure| {
            self.failure.send_replace(Some(Arc::clone(failure)));
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(directory: &DataDir, file: SmallFile) -> Result<Option<T>, StorageError> {
    let path = directory.path().join(file.name());
    let body = directory.read(file)?;
    body.map(|body| codec::decode(&body).map_err(StorageError::codec(&path))).transpose()
}

fn write<T: Serialize>(directory: &DataDir, file: SmallFile, value: &T) -> Result<(), StorageError> {
    let body = codec::encode(value).map_err(StorageError::codec(&directory.path().join(file.name())))?;
    directory.write(file, &[&body])
}
