//! An algorithm in a file, by its name: for serde.

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

use crate::engine::algorithm::Algorithm;

/// Whether it need not be said.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn is_default(algorithm: &Algorithm) -> bool {
    *algorithm == Algorithm::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn serialize<S: Serializer>(algorithm: &Algorithm, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(algorithm.name())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
