//! What leaves this process, on the wire or to a disk.

pub(crate) mod adjustment;
#[cfg(feature = "cli")]
pub(crate) mod admin;
pub(crate) mod charge;
pub(crate) mod claim;
pub(crate) mod codec;
pub(crate) mod explanation;
pub(crate) mod fields;
pub(crate) mod peer;
pub(crate) mod standing;
#[cfg(feature = "cli")]
pub(crate) mod throttle;
pub mod v1;
