//! A node's data directory: who it belongs to, and that only one process uses it.
//!
//! ```text
//!   lock                      held while a `DataDir` lives
//!   identity, founding, vote, purged, snapshot, probe      small files, replaced as a whole
//!   log-<first index>.wal     segments of the log
//! ```
//!
//! Promises: a directory of unknown origin is never written to; an id never comes back with an empty log.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::error::StorageError;
use super::small_file::{self, SmallFile};
use crate::clock::Clock;
use crate::engine::grant::ClusterId;
use crate::wire::codec;

const LOCK: &str = "lock";

/// Made by the file system at the root of a volume.
const LOST_AND_FOUND: &str = "lost+found";

/// How often the disk is timed.
const PROBES: usize = 3;

/// Whose data a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The node, 64 random bits drawn when the directory was first used.
    pub node: u64,
    /// The cluster that the node is of, or would found: drawn at the same moment.
    pub cluster: ClusterId,
    /// Whether it is of that cluster for good.
    pub is_bound: bool,
}

/// A data directory that this process has for itself until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    identity: Identity,
    /// The lock ends with the file handle, also when the process is killed.
    lock: File,
    /// Closed after the lock has ended: fields are dropped after the value itself.
    in_use: watch::Sender<()>,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // A child that this process is starting may hold a copy of the handle for a moment.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, path = %self.path.display(), "the data directory could not be unlocked");
        }
    }
}

impl DataDir {
    /// Whether this is the data directory of a node, of whatever use it may be.
    pub(crate) fn is_a_nodes(path: &Path) -> bool {
        path.join(SmallFile::Identity.name()).exists()
    }

    /// Opens a data directory, and creates it (readable by its owner only) when it is missing.
    ///
    /// With `expected_node`, the directory must already belong to that node: one that is new or
    /// empty is refused, because the node's log would be lost.
    ///
    /// # Errors
    /// When it is in use, not a node's, another node's, damaged, or not writable.
    pub(crate) fn open(path: impl Into<PathBuf>, expected_node: Option<u64>) -> Result<Self, StorageError> {
        let path = path.into();
        if let Some(expected) = expected_node
            && !path.exists()
        {
            return Err(StorageError::NoIdentity { path, expected });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(StorageError::io("create", &path))?;
        // Looked at before the lock file is made: a stranger's directory is left as it is.
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        for file in SmallFile::ALL {
            remove_if_present(&path.join(file.temporary_name()))?;
        }
        let identity = match (read_identity(&path)?, expected_node) {
            (Some(found), Some(expected)) if found.node != expected => {
                return Err(StorageError::OtherNode { path, expected, found: found.node });
            }
            (Some(found), _) => found,
            (None, Some(expected)) => return Err(StorageError::NoIdentity { path, expected }),
            (None, None) => {
                refuse_foreign(&path)?;
                let identity = Identity { node: rand::random(), cluster: ClusterId(rand::random()), is_bound: false };
                write_identity(&path, identity)?;
                if let Some(parent) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
                    small_file::sync_directory(parent)?;
                }
                identity
            }
        };
        Ok(Self { path, identity, lock, in_use: watch::Sender::new(()) })
    }

    /// Where the directory is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose data it held when it was opened.
    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }

    /// Replaces what is known of the node, durably.
    pub(crate) fn write_identity(&self, identity: Identity) -> Result<(), StorageError> {
        write_identity(&self.path, identity)
    }

    /// What the node has given its word for before it had a cluster.
    pub(crate) fn read_founding(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.read(SmallFile::Founding)
    }

    /// Replaces that, durably.
    pub(crate) fn write_founding(&self, body: &[u8]) -> Result<(), StorageError> {
        self.write(SmallFile::Founding, &[body])
    }

    /// How long the disk takes to replace a small file: the shortest of some times, for what else the machine does is none of the disk's.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn replaces_within(&self, clock: Clock) -> Result<Duration, StorageError> {
        let mut shortest = Duration::MAX;
        for _ in 0..PROBES {
            let began = clock.now();
            self.write(SmallFile::Probe, &[])?;
            shortest = shortest.min(clock.now().saturating_since(began));
        }
        Ok(shortest)
    }

    /// Closes when the directory is free for another.
    pub(crate) fn in_use(&self) -> watch::Receiver<()> {
        self.in_use.subscribe()
    }

    /// Replaces the content of a small file, durably.
    pub(super) fn write(&self, file: SmallFile, parts: &[&[u8]]) -> Result<(), StorageError> {
        small_file::write(&self.path, file, parts)
    }

    /// Reads a small file; `None` when it was never written.
    pub(super) fn read(&self, file: SmallFile) -> Result<Option<Vec<u8>>, StorageError> {
        small_file::read(&self.path, file)
    }
}

fn read_identity(directory: &Path) -> Result<Option<Identity>, StorageError> {
    let path = directory.join(SmallFile::Identity.name());
    let body = small_file::read(directory, SmallFile::Identity)?;
    body.map(|body| codec::decode(&body).map_err(StorageError::codec(&path))).transpose()
}

fn write_identity(directory: &Path, identity: Identity) -> Result<(), StorageError> {
    let path = directory.join(SmallFile::Identity.name());
    let body = codec::encode(&identity).map_err(StorageError::codec(&path))?;
    small_file::write(directory, SmallFile::Identity, &[&body])
}

/// Refuses a directory without an identity that holds anything a first start does not leave.
fn refuse_foreign(directory: &Path) -> Result<(), StorageError> {
    if DataDir::is_a_nodes(directory) {
        return Ok(());
    }
    let half_made = SmallFile::Identity.temporary_name();
    for entry in fs::read_dir(directory).map_err(StorageError::io("list", directory))? {
        let name = entry.map_err(StorageError::io("list", directory))?.file_name();
        if name != LOCK && name != LOST_AND_FOUND && name != half_made.as_str() {
            let found = name.to_string_lossy().into_owned();
            return Err(StorageError::Foreign { path: directory.to_owned(), found });
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, StorageError> {
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(StorageError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Locked { path: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StorageError::io("lock", &path)(error)),
    }
}

fn remove_if_present(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::io("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
