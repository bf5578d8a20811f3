//! What one node keeps: its identity, its vote, its Raft log and its current snapshot.
//!
//! ```text
//!   openraft ── LogStore ── channel ──► thread "turnstile-wal" ── Disk ── Wal ── segments
//!                  │ entries, in memory                             │
//!                  └ LogReader (shared)          DataDir ───────────┴── identity, vote, purged, snapshot
//! ```
//!
//! Promises: what was acknowledged is on the disk; a damaged byte is told apart from a tail that was
//! never acknowledged, and never dropped in silence; after the first failed write or sync nothing is
//! acknowledged any more.
//! Must not: retry a failed sync (the kernel may have thrown the pages away), or repair corruption.

mod data_dir;
mod disk;
mod error;
mod log_store;
mod memory;
mod record;
mod segment;
mod small_file;
mod snapshot_store;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use data_dir::{DataDir, Identity};
#[cfg(test)]
pub(crate) use error::LogDamage;
pub(crate) use error::StorageError;
pub(crate) use log_store::LogStore;
pub(crate) use snapshot_store::{SavedSnapshot, SnapshotStore};

/// A length in memory as a length on the disk; no machine has more than 2^64 bytes.
fn disk_length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
