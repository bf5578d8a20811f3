//! What leaves this process, on the wire or to a disk.

pub(crate) mod admin;
pub(crate) mod codec;
pub(crate) mod peer;
pub(crate) mod throttle;
pub mod v1;
