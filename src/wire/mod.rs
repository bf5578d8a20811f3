//! What leaves this process, on the wire or to a disk.

pub mod codec;
