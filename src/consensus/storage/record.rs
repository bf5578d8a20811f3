//! One entry's bytes in a segment, and the judgement of bytes that are not one.
//!
//! ```text
//!   length u32 │ crc32 of length and index u32 │ index u64 │ payload, zeros to 8 │ crc32 u32 │ end mark
//! ```
//! Little-endian; every record begins at a multiple of eight. The last crc32 covers all before it.
//!
//! Promises: a changed byte, whichever it is, is never taken for a tail that was never acknowledged.
//! The header's own checksum makes the length trustworthy, so "the file ends before the record does"
//! is certain; and because a trailer (checksum and end mark, eight bytes at a multiple of eight)
//! lies in one sector and is never all zeros, a tail of zeros is one that no sector was written of.

use super::error::LogDamage;

/// One entry of the log, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) index: u64,
    pub(super) payload: Vec<u8>,
}

/// What lies at an offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, and the offset at which the next one begins.
    Record { record: Record, next: usize },
    /// The segment ends here.
    End,
    /// A tail whose writing never finished, so it was never acknowledged.
    Torn,
    /// Anything else.
    Damaged(LogDamage),
}

const HEADER: usize = 16;
const TRAILER: usize = 8;
const ALIGNMENT: usize = 8;

/// The smallest unit a disk writes as a whole.
const SECTOR: usize = 512;

/// No byte of it is zero: with one byte of a trailer changed, four or more are still not zero.
const END_MARK: [u8; 4] = *b"end\n";

impl Record {
    /// Appends the record's bytes; `None`, and nothing appended, when it is longer than 2^32 bytes.
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) -> Option<()> {
        let length = u32::try_from(self.payload.len()).ok()?;
        let start = out.len();
        out.extend(length.to_le_bytes());
        out.extend(header_checksum(length, self.index).to_le_bytes());
        out.extend(self.index.to_le_bytes());
        out.extend(&self.payload);
        out.resize(start + HEADER + padded(self.payload.len()), 0);
        let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend(checksum.to_le_bytes());
        out.extend(END_MARK);
        Some(())
    }
}

/// Judges what lies at `start`, where the entry `expected_index` should be.
pub(super) fn find(segment: &[u8], start: usize, expected_index: u64) -> Found {
    let rest = segment.get(start..).unwrap_or_default();
    if rest.is_empty() {
        return Found::End;
    }
    let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
        return Found::Torn;
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3, index @ ..] = *header;
    let (length, index) = (u32::from_le_bytes([l0, l1, l2, l3]), u64::from_le_bytes(index));
    if header_checksum(length, index) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return torn_or(LogDamage::RecordHeader, segment, start, start + HEADER);
    }
    let Ok(length) = usize::try_from(length) else {
        return Found::Torn;
    };
    let covered = HEADER + padded(length);
    let Some((trailer, _)) = rest.get(covered..).and_then(|after| after.split_first_chunk::<TRAILER>()) else {
        return Found::Torn;
    };
    let next = start + covered + TRAILER;
    let [c0, c1, c2, c3, mark @ ..] = *trailer;
    if crc32fast::hash(rest.get(..covered).unwrap_or_default()) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return torn_or(LogDamage::RecordBody, segment, start, next);
    }
    if mark != END_MARK {
        return torn_or(LogDamage::EndMark, segment, start, next);
    }
    if index != expected_index {
        return Found::Damaged(LogDamage::Index { found: index });
    }
    let payload = body.get(..length).unwrap_or_default().to_vec();
    Found::Record { record: Record { index, payload }, next }
}

/// Tells a record that was being written when the power went from a damaged one.
///
/// A file may grow before its content arrives; what did not arrive reads as zeros, from where the
/// record begins (in a sector written earlier) or from a sector's border within it, to the end.
pub(super) fn torn_or(damage: LogDamage, segment: &[u8], start: usize, end: usize) -> Found {
    let zeros = segment.iter().rev().take_while(|byte| **byte == 0).count();
    let zeros_from = segment.len() - zeros;
    let torn = zeros > 0 && (zeros_from <= start || zeros_from.next_multiple_of(SECTOR) < end);
    if torn { Found::Torn } else { Found::Damaged(damage) }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

fn header_checksum(length: u32, index: u64) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&length.to_le_bytes());
    checksum.update(&index.to_le_bytes());
    checksum.finalize()
}
