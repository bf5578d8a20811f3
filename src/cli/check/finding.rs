//! What each of the judges finds.

use std::time::Duration;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// When, by the history's clock.
    pub(super) at: Duration,
    /// What, with names.
    pub(super) what: String,
}
