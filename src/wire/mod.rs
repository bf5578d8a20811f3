//! What leaves this process, on the wire or to a disk.

pub(crate) mod codec;
#[cfg(feature = "cli")]
pub(crate) mod throttle;
#[cfg(feature = "cli")]
pub mod v1;
