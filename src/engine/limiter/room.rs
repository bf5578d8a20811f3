//! The answer of every limiter to whether there is room.

/// Whether a charge may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room<T> {
    /// Now.
    Ready,
    /// Not before this moment, and then only if nothing else is charged.
    NotBefore(T),
    /// Never: it is more than the whole limit, or the time line ends before.
    Never,
}
