//! The Raft log as openraft sees it, in memory or on disk.
//!
//! Reads are served from memory; a snapshot policy bounds it by [`LogStore::log_bytes`]. On disk,
//! every change also goes through one thread, which syncs all queued appends at once.
//!
//! Promises: an append's callback hears of success only when its entries are durable; vote, truncate
//! and purge return when they are. After a failure nothing succeeds, and [`LogStore::failure`] says why.

use std::fmt::{self, Debug};
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    Entry, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend, RaftLogReader, RaftTypeConfig, StorageError as RaftError, Vote,
};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::data_dir::DataDir;
use super::disk::{Disk, Failure};
use super::disk_length;
use super::error::StorageError;
use super::memory::{Kept, Memory};
use super::record::Record;
use super::wal::WalResult;
use super::writer::{Work, Writer};
use crate::wire::codec;

/// What one read for replication returns at most, in encoded bytes; always at least one entry.
const READ_BYTES: u64 = 1 << 20;

/// The Raft log of one node.
///
/// Dropping it finishes what is queued and joins the thread, which takes as long as one sync.
pub(crate) struct LogStore<C: RaftTypeConfig> {
    reader: LogReader<C>,
    medium: Medium,
    failure: watch::Receiver<Failure>,
}

enum Medium {
    /// Nothing outlives the process, and nothing fails: the sender only keeps `failure` open.
    Memory(#[expect(dead_code, reason = "held so that receivers do not see a closed channel")] watch::Sender<Failure>),
    Disk(Writer),
}

impl<C> LogStore<C>
where
    C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>,
    C::D: Clone,
{
    /// A log that is lost with the process, for tests and demonstrations.
    pub(crate) fn in_memory() -> Self {
        let (sender, failure) = watch::channel(None);
        Self { reader: LogReader::new(Memory::new(None, None)), medium: Medium::Memory(sender), failure }
    }

    /// Opens the log in a data directory and reads all of it, which blocks on the disk.
    ///
    /// # Errors
    /// When the log, the vote or the purge point is damaged or cannot be read.
    pub(crate) fn open(directory: &Arc<DataDir>) -> Result<Self, StorageError> {
        let (sender, failure) = watch::channel(None);
        let (disk, contents) = Disk::open(Arc::clone(directory), sender)?;
        let mut memory = Memory::new(contents.purged, contents.vote);
        for Record { index, payload } in contents.records {
            let entry = codec::decode(&payload).map_err(|source| StorageError::UndecodableEntry {
                path: directory.path().to_owned(),
                index,
                source,
            })?;
            memory.append([Kept { entry, bytes: disk_length(payload.len()) }])?;
        }
        let writer = Writer::spawn(disk, directory.path())?;
        Ok(Self { reader: LogReader::new(memory), medium: Medium::Disk(writer), failure })
    }

    /// Checks that the current snapshot covers everything that was purged from the log.
    ///
    /// openraft does not: it would go on with an empty state machine when the snapshot was lost.
    ///
    /// # Errors
    /// When entries were purged that the snapshot, whose last entry is given, does not cover.
    pub(crate) fn require_snapshot(&self, snapshot: Option<LogId<u64>>) -> Result<(), StorageError> {
        match self.reader.memory.lock().purged() {
            Some(purged) if snapshot < Some(purged) => {
                Err(StorageError::PurgedPastSnapshot { purged: purged.index, snapshot: snapshot.map(|id| id.index) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The size of the log in encoded bytes, kept current.
    pub(crate) fn log_bytes(&self) -> Arc<AtomicU64> {
        self.reader.memory.lock().bytes()
    }

    /// Why the log stopped, as soon as it has: the first failed write or sync.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<Arc<StorageError>>> {
        self.failure.clone()
    }

    /// Has the disk, if there is one, do the work, and waits until it is durable.
    async fn durably(&self, work: Work, subject: ErrorSubject<u64>, verb: ErrorVerb) -> Result<(), RaftError<u64>> {
        let Medium::Disk(writer) = &self.medium else {
            return Ok(());
        };
        let (sender, finished) = oneshot::channel();
        // Nobody listens when the future was dropped; the work is done all the same.
        let done = Box::new(move |result: WalResult| drop(sender.send(result)));
        let failed = |error| RaftError::from_io_error(subject.clone(), verb, error);
        writer.place().await.map_err(io::Error::other).map_err(&failed)?.send(work, done);
        let result = finished.await.unwrap_or_else(|_gone| Err(Arc::new(StorageError::WriterGone)));
        result.map_err(io::Error::other).map_err(failed)
    }
}

impl<C> RaftLogStorage<C> for LogStore<C>
where
    C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>,
    C::D: Clone,
{
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, RaftError<u64>> {
        Ok(self.reader.memory.lock().state())
    }

    async fn get_log_reader(&mut self) -> LogReader<C> {
        LogReader { memory: Arc::clone(&self.reader.memory) }
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), RaftError<u64>> {
        self.durably(Work::SaveVote(*vote), ErrorSubject::Vote, ErrorVerb::Write).await?;
        self.reader.memory.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, RaftError<u64>> {
        Ok(self.reader.memory.lock().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<C>) -> Result<(), RaftError<u64>>
    where
        I: IntoIterator<Item = Entry<C>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let refused = |error| RaftError::from_io_error(ErrorSubject::Logs, ErrorVerb::Write, io::Error::other(error));
        let (kept, records) = encode_all(entries).map_err(StorageError::Encode).map_err(refused)?;
        match &self.medium {
            Medium::Memory(_) => {
                self.reader.memory.lock().append(kept).map_err(refused)?;
                callback.log_io_completed(Ok(()));
            }
            Medium::Disk(writer) => {
                // The place first: a future dropped while it waits has changed nothing.
                let place = writer.place().await.map_err(refused)?;
                self.reader.memory.lock().append(kept).map_err(refused)?;
                let done = |result: WalResult| callback.log_io_completed(result.map_err(io::Error::other));
                place.send(Work::Append(records), Box::new(done));
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), RaftError<u64>> {
        self.reader.memory.lock().truncate_from(log_id.index);
        self.durably(Work::TruncateFrom(log_id.index), ErrorSubject::Log(log_id), ErrorVerb::Delete).await
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), RaftError<u64>> {
        self.reader.memory.lock().purge_to(log_id);
        self.durably(Work::PurgeTo(log_id), ErrorSubject::Log(log_id), ErrorVerb::Delete).await
    }
}

impl<C> RaftLogReader<C> for LogStore<C>
where
    C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>,
    C::D: Clone,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<C>>, RaftError<u64>> {
        Ok(self.reader.read(&range, u64::MAX))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<C>>, RaftError<u64>> {
        Ok(self.reader.read(&(start..end), READ_BYTES))
    }
}

/// Reads the log beside its store, for replication.
pub(crate) struct LogReader<C: RaftTypeConfig> {
    memory: Arc<Mutex<Memory<C>>>,
}

impl<C> LogReader<C>
where
    C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>,
    C::D: Clone,
{
    fn new(memory: Memory<C>) -> Self {
        Self { memory: Arc::new(Mutex::new(memory)) }
    }

    /// Copies entries until they take `limit` encoded bytes or more.
    fn read(&self, range: &impl RangeBounds<u64>, limit: u64) -> Vec<Entry<C>> {
        let memory = self.memory.lock();
        let before = memory.range(range).scan(0_u64, |bytes, kept| {
            let before = *bytes;
            *bytes = bytes.saturating_add(kept.bytes);
            Some((before, &kept.entry))
        });
        before.take_while(|(before, _)| *before < limit).map(|(_, entry)| entry.clone()).collect()
    }
}

impl<C> RaftLogReader<C> for LogReader<C>
where
    C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>,
    C::D: Clone,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<C>>, RaftError<u64>> {
        Ok(self.read(&range, u64::MAX))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry<C>>, RaftError<u64>> {
        Ok(self.read(&(start..end), READ_BYTES))
    }
}

impl<C: RaftTypeConfig> Debug for LogStore<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogStore").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl<C: RaftTypeConfig> Debug for LogReader<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogReader").finish_non_exhaustive()
    }
}

/// The entries to keep in memory and the records to write.
type Encoded<C> = (Vec<Kept<C>>, Vec<Record>);

fn encode_all<C>(entries: impl IntoIterator<Item = Entry<C>>) -> Result<Encoded<C>, codec::CodecError>
where
    C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>,
{
    let encoded = entries.into_iter().map(|entry| {
        let record = Record { index: entry.log_id.index, payload: codec::encode(&entry)? };
        Ok((Kept { entry, bytes: disk_length(record.payload.len()) }, record))
    });
    encoded.collect()
}
