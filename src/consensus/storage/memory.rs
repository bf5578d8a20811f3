//! The log's entries in memory: what is read, in both modes.

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::{Entry, LogId, LogState, RaftTypeConfig, Vote};

use super::error::StorageError;

/// The entries, and what Raft wants to know beside them.
pub(super) struct Memory<C: RaftTypeConfig> {
    entries: VecDeque<Kept<C>>,
    purged: Option<LogId<u64>>,
    pub(super) vote: Option<Vote<u64>>,
    /// The encoded size of `entries`.
    bytes: Arc<AtomicU64>,
}

/// One entry and the length of its encoding.
pub(super) struct Kept<C: RaftTypeConfig> {
    pub(super) entry: Entry<C>,
    pub(super) bytes: u64,
}

impl<C: RaftTypeConfig<NodeId = u64, Entry = Entry<C>>> Memory<C> {
    pub(super) fn new(purged: Option<LogId<u64>>, vote: Option<Vote<u64>>) -> Self {
        Self { entries: VecDeque::new(), purged, vote, bytes: Arc::default() }
    }

    pub(super) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    pub(super) fn purged(&self) -> Option<LogId<u64>> {
        self.purged
    }

    pub(super) fn state(&self) -> LogState<C> {
        let last = self.entries.back().map(|kept| kept.entry.log_id);
        LogState { last_purged_log_id: self.purged, last_log_id: last.or(self.purged) }
    }

    /// Refuses an entry that does not follow the last one: reads count on it.
    pub(super) fn append(&mut self, entries: impl IntoIterator<Item = Kept<C>>) -> Result<(), StorageError> {
        for kept in entries {
            let found = kept.entry.log_id.index;
            let expected = self.entries.back().map_or(found, |last| last.entry.log_id.index.saturating_add(1));
            if found != expected {
                return Err(StorageError::OutOfOrder { expected, found });
            }
            self.bytes.fetch_add(kept.bytes, Ordering::Relaxed);
            self.entries.push_back(kept);
        }
        Ok(())
    }

    pub(super) fn truncate_from(&mut self, index: u64) {
        while let Some(kept) = self.entries.pop_back_if(|kept| kept.entry.log_id.index >= index) {
            self.bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn purge_to(&mut self, last: LogId<u64>) {
        while let Some(kept) = self.entries.pop_front_if(|kept| kept.entry.log_id.index <= last.index) {
            self.bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
        }
        self.purged = self.purged.max(Some(last));
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// The entries whose index is in the range, oldest first.
    pub(super) fn range(&self, range: &impl RangeBounds<u64>) -> impl Iterator<Item = &Kept<C>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let first = self.entries.front().map_or(0, |kept| kept.entry.log_id.index);
        let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip).take_while(move |kept| kept.entry.log_id.index < end)
    }
}
