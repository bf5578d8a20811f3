//! The one current snapshot, in memory or on disk.
//!
//! ```text
//!   length of meta u64 │ meta (codec) │ data, opaque
//! ```
//!
//! Promises: [`SnapshotStore::load`] gives the last snapshot whose [`SnapshotStore::save`] returned,
//! whole, or a clear error.
//! Must not: be called on an async worker; both calls block on the disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use openraft::{Node, SnapshotMeta};
use parking_lot::Mutex;

use super::data_dir::DataDir;
use super::disk_length;
use super::error::StorageError;
use super::small_file::SmallFile;
use crate::wire::codec::{self, CodecError};

/// A snapshot: what it covers, and the state machine's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedSnapshot<N: Node> {
    /// The last entry and the membership it covers.
    pub meta: SnapshotMeta<u64, N>,
    /// The state machine's own encoding.
    pub data: Arc<Vec<u8>>,
}

/// Keeps the current snapshot.
pub(crate) struct SnapshotStore<N: Node> {
    medium: Medium<N>,
}

enum Medium<N: Node> {
    Memory(Mutex<Option<SavedSnapshot<N>>>),
    Disk(Arc<DataDir>),
}

const META_LENGTH: usize = 8;

impl<N: Node> SnapshotStore<N> {
    /// A store that is lost with the process.
    pub(crate) fn in_memory() -> Self {
        Self { medium: Medium::Memory(Mutex::new(None)) }
    }

    /// The store in a data directory.
    pub(crate) fn on_disk(directory: Arc<DataDir>) -> Self {
        Self { medium: Medium::Disk(directory) }
    }

    /// Replaces the current snapshot; on disk, durably and as a whole.
    ///
    /// # Errors
    /// When the disk refuses; the previous snapshot then remains.
    pub(crate) fn save(&self, snapshot: &SavedSnapshot<N>) -> Result<(), StorageError> {
        match &self.medium {
            Medium::Memory(current) => {
                *current.lock() = Some(snapshot.clone());
                Ok(())
            }
            Medium::Disk(directory) => {
                let path = directory.path().join(SmallFile::Snapshot.name());
                let meta = codec::encode(&snapshot.meta).map_err(StorageError::codec(&path))?;
                let length = disk_length(meta.len());
                directory.write(SmallFile::Snapshot, &[&length.to_le_bytes(), &meta, &snapshot.data])
            }
        }
    }

    /// The current snapshot; `None` before the first.
    ///
    /// # Errors
    /// When the disk refuses, or the snapshot is damaged.
    pub(crate) fn load(&self) -> Result<Option<SavedSnapshot<N>>, StorageError> {
        match &self.medium {
            Medium::Memory(current) => Ok(current.lock().clone()),
            Medium::Disk(directory) => directory.read(SmallFile::Snapshot)?.map(|body| split(directory, body)).transpose(),
        }
    }

    /// What is wrong when the current snapshot's data is whole, but not what its reader takes.
    pub(crate) fn unreadable(&self, source: CodecError) -> StorageError {
        let path = match &self.medium {
            Medium::Memory(_) => PathBuf::from("(memory)"),
            Medium::Disk(directory) => directory.path().join(SmallFile::Snapshot.name()),
        };
        StorageError::codec(&path)(source)
    }
}

impl<N: Node> fmt::Debug for SnapshotStore<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.medium {
            Medium::Memory(_) => formatter.write_str("SnapshotStore(memory)"),
            Medium::Disk(directory) => formatter.debug_tuple("SnapshotStore").field(&directory.path()).finish(),
        }
    }
}

/// Takes the file's body apart.
fn split<N: Node>(directory: &DataDir, mut body: Vec<u8>) -> Result<SavedSnapshot<N>, StorageError> {
    let path = directory.path().join(SmallFile::Snapshot.name());
    let parts = body.split_first_chunk::<META_LENGTH>().and_then(|(length, rest)| {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        Some((rest.get(..length)?, META_LENGTH + length))
    });
    let Some((meta, data_at)) = parts else {
        return Err(StorageError::CorruptFile { path, rule: "its meta data ends after the file does" });
    };
    let meta = codec::decode(meta).map_err(StorageError::codec(&path))?;
    body.drain(..data_at);
    Ok(SavedSnapshot { meta, data: Arc::new(body) })
}
