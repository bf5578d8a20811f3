//! One file of the log: a header and the records that follow it.
//!
//! ```text
//!   magic (8) │ version u32 │ crc32 u32 │ first index u64 │ record │ record │ …
//! ```
//! The file is named after the index of its first record: `log-00000000000000000042.wal`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::disk_length;
use super::error::{LogDamage, StorageError};
use super::record::{self, Found, Record};

const MAGIC: [u8; 8] = *b"TsLog..\n";
const VERSION: u32 = 1;
const HEADER: usize = 24;

/// A segment that is open for writing at its end.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    first: u64,
    /// Where each record begins, in bytes, by its distance from `first`.
    starts: Vec<u64>,
    /// How far the file is written.
    written: u64,
    /// How far it is known to be on the disk.
    synced: u64,
    /// Opened for appending: writing goes on at the end, also after a truncation.
    file: File,
}

/// A segment as it was found on the disk.
pub(super) struct Loaded {
    pub(super) segment: Segment,
    pub(super) records: Vec<Record>,
    /// Whether a tail that was never acknowledged follows the records.
    pub(super) torn: bool,
}

impl Segment {
    /// Creates an empty segment; its name is durable once the directory is synced.
    pub(super) fn create(directory: &Path, first: u64) -> Result<Self, StorageError> {
        let path = directory.join(file_name(first));
        let file = File::options().append(true).create_new(true).open(&path).map_err(StorageError::io("create", &path))?;
        Ok(Self { path, first, starts: Vec::new(), written: 0, synced: 0, file })
    }

    /// Reads a segment and checks every byte of it; changes nothing.
    ///
    /// `last` says that no other segment follows: only there can a tail be unfinished.
    pub(super) fn load(path: &Path, first: u64, last: bool) -> Result<Loaded, StorageError> {
        let file = File::options().append(true).open(path).map_err(StorageError::io("open", path))?;
        let bytes = fs::read(path).map_err(StorageError::io("read", path))?;
        let mut segment = Self { path: path.to_owned(), first, starts: Vec::new(), written: 0, synced: 0, file };
        let mut records = Vec::new();
        let mut torn = !segment.check_header(&bytes)?;
        let mut at = HEADER;
        while !torn {
            segment.written = disk_length(at);
            match record::find(&bytes, at, segment.next_index()) {
                Found::Record { record, next } => {
                    segment.starts.push(disk_length(at));
                    records.push(record);
                    at = next;
                }
                Found::End => break,
                Found::Torn => torn = true,
                Found::Damaged(damage) => return Err(segment.damaged(at, damage)),
            }
        }
        if torn && !last {
            return Err(segment.damaged(at, LogDamage::Cut));
        }
        Ok(Loaded { segment, records, torn })
    }

    /// Appends the records with one write. They are durable after [`Self::sync`].
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), StorageError> {
        let mut bytes = Vec::new();
        if self.written == 0 {
            bytes.extend(header(self.first));
        }
        for record in records {
            self.starts.push(self.written + disk_length(bytes.len()));
            record.encode_into(&mut bytes).ok_or_else(|| {
                let error = std::io::Error::other(format!("entry {} is longer than 2^32 bytes", record.index));
                StorageError::io("write", &self.path)(error)
            })?;
        }
        self.file.write_all(&bytes).map_err(StorageError::io("write", &self.path))?;
        self.written += disk_length(bytes.len());
        Ok(())
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        if self.synced < self.written {
            self.file.sync_data().map_err(StorageError::io("sync", &self.path))?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Drops the records from `index` on, durably.
    pub(super) fn truncate_from(&mut self, index: u64) -> Result<(), StorageError> {
        let keep = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(end) = self.starts.get(keep).copied() {
            self.starts.truncate(keep);
            self.written = end;
        }
        self.cut()
    }

    /// Cuts the file after the last whole record, durably.
    pub(super) fn cut(&mut self) -> Result<(), StorageError> {
        self.file.set_len(self.written).map_err(StorageError::io("truncate", &self.path))?;
        self.file.sync_all().map_err(StorageError::io("sync", &self.path))?;
        self.synced = self.written;
        Ok(())
    }

    /// After a failure: drops what was never acknowledged, so that the next start does not read
    /// from the page cache what the disk has refused.
    pub(super) fn abandon_unsynced(&self) {
        if let Err(error) = self.file.set_len(self.synced) {
            tracing::warn!(path = %self.path.display(), %error, "cannot drop the entries that were not acknowledged");
        }
    }

    /// Deletes the file; durable once the directory is synced.
    pub(super) fn delete(self) -> Result<(), StorageError> {
        fs::remove_file(&self.path).map_err(StorageError::io("remove", &self.path))
    }

    /// The index of the first record, or of the one that will be.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The index after the last record.
    pub(super) fn next_index(&self) -> u64 {
        self.first + disk_length(self.starts.len())
    }

    /// How many bytes the segment has.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks the segment's header; `false` when it was never completely written.
    fn check_header(&self, bytes: &[u8]) -> Result<bool, StorageError> {
        let Some((found, _)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(false);
        };
        if *found == header(self.first) {
            return Ok(true);
        }
        let [magic @ .., v0, v1, v2, v3, c0, c1, c2, c3, i0, i1, i2, i3, i4, i5, i6, i7] = *found;
        let (version, first) = (u32::from_le_bytes([v0, v1, v2, v3]), [i0, i1, i2, i3, i4, i5, i6, i7]);
        let damage = if magic != MAGIC {
            LogDamage::Magic
        } else if header_checksum(version, first) != u32::from_le_bytes([c0, c1, c2, c3]) {
            LogDamage::SegmentHeader
        } else if version != VERSION {
            return Err(StorageError::UnknownVersion { path: self.path.clone(), found: version, known: VERSION });
        } else {
            LogDamage::SegmentIndex { found: u64::from_le_bytes(first) }
        };
        match record::torn_or(damage, bytes, 0, HEADER) {
            Found::Damaged(damage) => Err(self.damaged(0, damage)),
            Found::Torn | Found::End | Found::Record { .. } => Ok(false),
        }
    }

    fn damaged(&self, at: usize, damage: LogDamage) -> StorageError {
        let expected_index = self.next_index();
        StorageError::CorruptLog { path: self.path.clone(), offset: disk_length(at), expected_index, damage }
    }
}

/// The name of the segment whose first record has this index.
pub(super) fn file_name(first: u64) -> String {
    format!("log-{first:020}.wal")
}

/// The index in a segment's name; `None` for any other file.
pub(super) fn first_index_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?.strip_suffix(".wal")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn header(first: u64) -> [u8; HEADER] {
    let first = first.to_le_bytes();
    let mut bytes = [0; HEADER];
    let fields = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain(header_checksum(VERSION, first).to_le_bytes()).chain(first);
    bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    bytes
}

fn header_checksum(version: u32, first: [u8; 8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&MAGIC);
    checksum.update(&version.to_le_bytes());
    checksum.update(&first);
    checksum.finalize()
}
