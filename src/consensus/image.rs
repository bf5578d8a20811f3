//! The ledger as a snapshot has it.
//!
//! ```text
//!   level u32 LE │ ledger (codec)
//! ```
//!
//! The level comes first, for a release that does not know it can't read the rest.

use thiserror::Error;

use crate::engine::ledger::{Ledger, Level, UnknownLevel};
use crate::wire::codec::{self, CodecError};

/// Why a snapshot is no ledger.
#[derive(Debug, Error)]
pub(super) enum ImageError {
    /// Its rules are those of a later release.
    #[error(transparent)]
    UnknownLevel(#[from] UnknownLevel),
    /// The bytes are not as they were written.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The bytes of a ledger.
///
/// # Errors
/// When it is too long for the codec.
pub(super) fn write(ledger: &Ledger) -> Result<Vec<u8>, CodecError> {
    let mut bytes = ledger.level().get().to_le_bytes().to_vec();
    bytes.append(&mut codec::encode(ledger)?);
    Ok(bytes)
}

/// The ledger of these bytes, complete.
///
/// # Errors
/// [`ImageError`].
pub(super) fn read(bytes: &[u8]) -> Result<Ledger, ImageError> {
    let (level, ledger) = bytes.split_first_chunk().ok_or(CodecError::Empty)?;
    Level::new(u32::from_le_bytes(*level)).check()?;
    Ok(codec::decode::<Ledger>(ledger)?.restored())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_comes_back_and_one_of_a_later_release_is_refused_by_its_level() {
        let mut bytes = write(&Ledger::new()).expect("an empty ledger is short");
        assert_eq!(read(&bytes).expect("own bytes"), Ledger::new());
        let later = Level::NEWEST.get() + 1;
        bytes.splice(..4, later.to_le_bytes());
        // Whatever the later release has written behind it.
        bytes.truncate(9);
        let refused = read(&bytes).expect_err("a later level").to_string();
        assert!(refused.starts_with(&format!("the cluster's ledger is at level {later}; this release knows")), "{refused}");
        assert!(matches!(read(&[1, 0, 0]), Err(ImageError::Codec(CodecError::Empty))));
    }
}
