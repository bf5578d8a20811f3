//! What leaves this process, on the wire or to a disk.

pub(crate) mod codec;
