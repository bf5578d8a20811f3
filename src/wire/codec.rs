//! The binary form of our own types, for our own disks and our own peers.
//!
//! The only file that names bincode, which is no longer maintained: to replace it, change this file
//! and raise [`VERSION`]. Every value starts with that version, so that a later release can tell
//! what it reads.
//!
//! Promises: what [`encode`] accepts, [`decode`] of the same release reads back; [`decode`] never reserves more memory than 64 MiB,
//! or [`CLAIMED_PER_BYTE`] times [`LIMIT`] for an input that is itself over 4 MiB, because of what the input claims.
//! Must not: meet bytes of strangers. Those are protobuf.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte of every encoded value.
pub(crate) const VERSION: u8 = 3;

/// The longest encoding of one value, in bytes, its version byte not counted: 1 GiB, room for the snapshot of a million connections
/// with the longest names.
pub(crate) const LIMIT: usize = 1 << 30;

/// bincode counts what a value takes in memory against its limit, not what it takes in the input: a small `u128` claims 16 bytes and is
/// encoded in one.
pub(crate) const CLAIMED_PER_BYTE: usize = 16;

/// Up to this length, in bytes, an input is read under the tight limit.
const SMALL: usize = 4 << 20;

const ENCODING: Configuration<LittleEndian, Varint> = bincode::config::standard();
const TIGHT: Configuration<LittleEndian, Varint, Limit<{ SMALL * CLAIMED_PER_BYTE }>> = ENCODING.with_limit();
const WIDE: Configuration<LittleEndian, Varint, Limit<{ LIMIT.saturating_mul(CLAIMED_PER_BYTE) }>> = ENCODING.with_limit();

/// Why a value could not be encoded, or bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The type's own `Serialize` refused.
    #[error("the value cannot be encoded: {0}")]
    Encode(#[source] EncodeError),
    /// The value would be refused when it is read back.
    #[error("the value takes {length} bytes, more than the limit of {LIMIT}")]
    TooLong {
        /// The bytes the value takes.
        length: usize,
    },
    /// There is no byte at all, not even the version.
    #[error("nothing to decode: the version byte is missing")]
    Empty,
    /// Another release wrote this.
    #[error("encoded in version {found}, this release reads version {VERSION}")]
    UnknownVersion {
        /// The version byte that was found.
        found: u8,
    },
    /// The bytes are not an encoding of the type.
    #[error("the bytes do not decode: {0}")]
    Decode(#[source] DecodeError),
    /// The value ended before the bytes did.
    #[error("{trailing} bytes are left over after the value")]
    Trailing {
        /// The number of bytes after the value.
        trailing: usize,
    },
}

/// Encodes a value, version byte first.
///
/// # Errors
/// When the type's `Serialize` refuses, or the encoding would be longer than [`LIMIT`].
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_within(LIMIT, value)
}

fn encode_within<T: Serialize>(limit: usize, value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VERSION];
    bincode::serde::encode_into_std_write(value, &mut bytes, ENCODING).map_err(CodecError::Encode)?;
    let length = bytes.len().saturating_sub(1);
    if length > limit {
        return Err(CodecError::TooLong { length });
    }
    Ok(bytes)
}

/// Decodes a value that [`encode`] wrote.
///
/// # Errors
/// When the version is unknown, the bytes are not an encoding of `T`, or some are left over.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != VERSION {
        return Err(CodecError::UnknownVersion { found: *version });
    }
    let decoded = match body.len() {
        0..=SMALL => bincode::serde::decode_from_slice(body, TIGHT),
        _ => bincode::serde::decode_from_slice(body, WIDE),
    };
    let (value, read) = decoded.map_err(CodecError::Decode)?;
    match body.len().saturating_sub(read) {
        0 => Ok(value),
        trailing => Err(CodecError::Trailing { trailing }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_as_it_was() {
        let value = (7_u64, String::from("key"), vec![1_u8, 2, 3]);
        let bytes = encode(&value).expect("plain data encodes");
        assert_eq!(decode::<(u64, String, Vec<u8>)>(&bytes).expect("own encoding"), value);
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let mut bytes = encode(&7_u64).expect("a number encodes");
        bytes.push(0);
        assert!(matches!(decode::<u64>(&bytes), Err(CodecError::Trailing { trailing: 1 })));
    }

    #[test]
    fn another_version_is_refused_by_number() {
        assert!(matches!(decode::<u64>(&[VERSION + 1, 7]), Err(CodecError::UnknownVersion { found: 4 })));
        assert!(matches!(decode::<u64>(&[]), Err(CodecError::Empty)));
    }

    #[test]
    fn a_length_that_lies_reserves_nothing() {
        // Varint 253 announces eight bytes of length: text of 2^32 bytes.
        let bytes = [VERSION, 253, 0, 0, 0, 0, 1, 0, 0, 0];
        let refused = decode::<String>(&bytes);
        assert!(matches!(refused, Err(CodecError::Decode(DecodeError::LimitExceeded))));
    }

    #[test]
    fn a_value_too_long_to_read_back_is_not_written() {
        // The length takes a byte, too.
        assert!(matches!(encode_within(100, &[7_u8; 100].as_slice()), Err(CodecError::TooLong { length: 101 })));
        assert!(encode_within(101, &[7_u8; 100].as_slice()).is_ok());
    }

    #[test]
    fn a_large_value_of_small_numbers_reads_back() {
        let numbers = vec![7_u64; 9_000_000];
        let bytes = encode(&numbers).expect("9 MB are within the limit");
        assert!(decode::<Vec<u64>>(&bytes).expect("own encoding") == numbers);
        let just_small = vec![u128::MIN; SMALL - 8];
        assert!(decode::<Vec<u128>>(&encode(&just_small).expect("encodes")).expect("own encoding") == just_small);
    }
}
