//! Small files that are replaced as a whole: identity, vote, purge point, snapshot, the word given before there was a cluster, and one that finds out how long replacing takes.
//!
//! ```text
//!   magic (8) │ version u32 │ crc32 u32 │ length u64 │ body          all little-endian
//! ```
//! The checksum covers everything but itself.
//!
//! Promises: a reader sees the old content or the new one, never a mixture, whenever the machine
//! stops; when [`write()`] returns, the new one survives a power loss.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::disk_length;
use super::error::StorageError;

const VERSION: u32 = 1;
const HEADER: usize = 24;

/// The small files a data directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SmallFile {
    Identity,
    Vote,
    Purged,
    Snapshot,
    Probe,
    Founding,
}

impl SmallFile {
    pub(super) const ALL: [Self; 6] = [Self::Identity, Self::Vote, Self::Purged, Self::Snapshot, Self::Probe, Self::Founding];

    /// The file's name in the data directory.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Vote => "vote",
            Self::Purged => "purged",
            Self::Snapshot => "snapshot",
            Self::Probe => "probe",
            Self::Founding => "founding",
        }
    }

    /// The name the new content has until it is complete.
    pub(super) fn temporary_name(self) -> String {
        format!("{}.tmp", self.name())
    }

    /// Each file has its own, so that one copied over another is not taken for it.
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Identity => *b"TsIdent\n",
            Self::Vote => *b"TsVote.\n",
            Self::Purged => *b"TsPurge\n",
            Self::Snapshot => *b"TsSnaps\n",
            Self::Probe => *b"TsProbe\n",
            Self::Founding => *b"TsFound\n",
        }
    }
}

/// Replaces the file's content by the parts, one after the other.
///
/// # Errors
/// When the disk refuses; the old content then remains.
pub(super) fn write(directory: &Path, file: SmallFile, parts: &[&[u8]]) -> Result<(), StorageError> {
    let length = disk_length(parts.iter().map(|part| part.len()).sum());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&file.magic());
    checksum.update(&VERSION.to_le_bytes());
    checksum.update(&length.to_le_bytes());
    parts.iter().for_each(|part| checksum.update(part));

    let mut header = Vec::with_capacity(HEADER);
    header.extend(file.magic());
    header.extend(VERSION.to_le_bytes());
    header.extend(checksum.finalize().to_le_bytes());
    header.extend(length.to_le_bytes());

    let temporary = directory.join(file.temporary_name());
    let target = directory.join(file.name());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut out = options.open(&temporary).map_err(StorageError::io("create", &temporary))?;
    for part in std::iter::once(header.as_slice()).chain(parts.iter().copied()) {
        out.write_all(part).map_err(StorageError::io("write", &temporary))?;
    }
    out.sync_all().map_err(StorageError::io("sync", &temporary))?;
    fs::rename(&temporary, &target).map_err(StorageError::io("rename into place", &temporary))?;
    sync_directory(directory)
}

/// Reads the file's content; `None` when there is no such file.
///
/// # Errors
/// When the disk refuses, or the content is damaged or of an unknown version.
pub(super) fn read(directory: &Path, file: SmallFile) -> Result<Option<Vec<u8>>, StorageError> {
    let path = directory.join(file.name());
    match fs::read(&path) {
        Ok(content) => verify(path, file, content).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", &path)(error)),
    }
}

fn verify(path: PathBuf, file: SmallFile, mut content: Vec<u8>) -> Result<Vec<u8>, StorageError> {
    let Some((header, body)) = content.split_first_chunk::<HEADER>() else {
        return Err(StorageError::CorruptFile { path, rule: "it is shorter than its header" });
    };
    let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, c0, c1, c2, c3, length @ ..] = *header;
    let (magic, version) = ([m0, m1, m2, m3, m4, m5, m6, m7], u32::from_le_bytes([v0, v1, v2, v3]));
    if magic != file.magic() {
        return Err(StorageError::CorruptFile { path, rule: "its magic number is wrong" });
    }
    if version != VERSION {
        return Err(StorageError::UnknownVersion { path, found: version, known: VERSION });
    }
    if disk_length(body.len()) != u64::from_le_bytes(length) {
        return Err(StorageError::CorruptFile { path, rule: "its length is not the one in its header" });
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&magic);
    checksum.update(&version.to_le_bytes());
    checksum.update(&length);
    checksum.update(body);
    if checksum.finalize() != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(StorageError::CorruptFile { path, rule: "its checksum does not match" });
    }
    content.drain(..HEADER);
    Ok(content)
}

/// Makes the names in a directory durable: those created, renamed and removed.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StorageError> {
    let handle = File::open(directory).map_err(StorageError::io("open", directory))?;
    handle.sync_all().map_err(StorageError::io("sync", directory))
}
