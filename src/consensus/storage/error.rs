//! What can be wrong with a node's storage.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::ledger::UnknownLevel;
use crate::wire::codec::CodecError;

/// Why a data directory could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "write", "sync", "create".
        operation: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Another process, or another part of this one, holds the directory.
    #[error("the data directory {} is in use by another node", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory holds something, but no identity: it is not ours, or the identity was lost.
    #[error("the data directory {} holds {found:?} but no identity; it is not a node's, or its identity was lost", path.display())]
    Foreign {
        /// The data directory.
        path: PathBuf,
        /// One of the names found in it.
        found: String,
    },
    /// The directory is empty although a certain node was expected in it.
    ///
    /// An id must never come back with an empty log, so none is created.
    #[error("the data directory {} is empty, node {expected:016x} was expected in it", path.display())]
    NoIdentity {
        /// The data directory.
        path: PathBuf,
        /// The node that was asked for.
        expected: u64,
    },
    /// The directory belongs to another node.
    #[error("the data directory {} belongs to node {found:016x}, not to node {expected:016x}", path.display())]
    OtherNode {
        /// The data directory.
        path: PathBuf,
        /// The node that was asked for.
        expected: u64,
        /// The node it belongs to.
        found: u64,
    },
    /// A file was written by another release, or its version is damaged.
    #[error("{} has format version {found}, this release reads version {known}", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The version this release reads.
        known: u32,
    },
    /// The snapshot, or an entry of the log, has rules that this release does not know.
    #[error(transparent)]
    UnknownLevel(#[from] UnknownLevel),
    /// A small file (identity, vote, purged, snapshot) is damaged.
    #[error("{} is corrupt: {rule}", path.display())]
    CorruptFile {
        /// The file.
        path: PathBuf,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The log is damaged where it had been acknowledged; the file is left as it is.
    #[error("{} is corrupt at offset {offset}, where entry {expected_index} should be: {damage}", path.display())]
    CorruptLog {
        /// The segment.
        path: PathBuf,
        /// Where in the segment the damaged part begins, in bytes.
        offset: u64,
        /// The index of the entry that should begin there.
        expected_index: u64,
        /// The rule the bytes break.
        damage: LogDamage,
    },
    /// A segment is missing: the log has a hole.
    #[error("the log in {} has a hole: entry {expected_index} is missing, the next segment is {}", directory.display(), found.display())]
    MissingSegment {
        /// The data directory.
        directory: PathBuf,
        /// The first entry that is missing.
        expected_index: u64,
        /// The segment that comes after the hole.
        found: PathBuf,
    },
    /// What lies in a file is intact but is no value of the type expected there.
    #[error("{} does not decode at entry {index}: {source}", path.display())]
    UndecodableEntry {
        /// The data directory.
        path: PathBuf,
        /// The entry's index.
        index: u64,
        /// What the codec said.
        source: CodecError,
    },
    /// An entry could not be encoded.
    #[error("cannot write an entry: {0}")]
    Encode(#[source] CodecError),
    /// A value could not be encoded or decoded.
    #[error("{}: {source}", path.display())]
    Codec {
        /// The file it was for.
        path: PathBuf,
        /// What the codec said.
        source: CodecError,
    },
    /// An entry was handed over that does not follow the last one.
    #[error("entry {found} does not follow the log, which expects entry {expected}")]
    OutOfOrder {
        /// The index the log expects next.
        expected: u64,
        /// The index it was given.
        found: u64,
    },
    /// Entries were purged that no snapshot covers: the snapshot was lost.
    #[error("the log was purged up to entry {purged}, but the snapshot {}", match snapshot { Some(index) => format!("ends at entry {index}"), None => "is missing".to_owned() })]
    PurgedPastSnapshot {
        /// The last entry that was purged.
        purged: u64,
        /// The last entry the snapshot covers, if there is one.
        snapshot: Option<u64>,
    },
    /// The thread that writes the log has ended.
    #[error("the thread that writes the log has ended")]
    WriterGone,
}

/// The rule a damaged place in the log breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogDamage {
    /// The segment does not begin as a segment of a log does.
    #[error("the segment's magic number is wrong")]
    Magic,
    /// The segment's header was changed.
    #[error("the checksum of the segment's header does not match")]
    SegmentHeader,
    /// The segment's header names another first entry than its file name.
    #[error("the segment's header says it begins at entry {found}")]
    SegmentIndex {
        /// The first index in the header.
        found: u64,
    },
    /// A record's header was changed.
    #[error("the checksum of the record's header does not match")]
    RecordHeader,
    /// A record's content was changed.
    #[error("the checksum of the record does not match")]
    RecordBody,
    /// A record does not end with the end mark.
    #[error("the record's end mark is wrong")]
    EndMark,
    /// A record holds another entry than the one that should be there.
    #[error("the record is of entry {found}")]
    Index {
        /// The index in the record.
        found: u64,
    },
    /// A segment that is not the last one ends within a record.
    #[error("the segment ends within a record, yet another segment follows")]
    Cut,
}

impl StorageError {
    /// Adapts an operating system's error, for `map_err`.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// Adapts a codec's error, for `map_err`.
    pub(in crate::consensus) fn codec(path: &Path) -> impl FnOnce(CodecError) -> Self {
        let path = path.to_owned();
        move |source| Self::Codec { path, source }
    }
}
