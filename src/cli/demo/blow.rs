//! What was done to the cluster in the middle of a run.

use std::time::Duration;

/// A node was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blow {
    /// When, counted from the start of the run.
    pub(crate) at: Duration,
    /// The node's number, from 1.
    pub(crate) node: usize,
    /// Whether it owned the connection, by place.
    pub(crate) owned: Vec<bool>,
}
