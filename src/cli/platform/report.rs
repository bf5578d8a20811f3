//! What the emulator tells about itself: the line it prints when ready and the page `/_report`.

use serde::{Deserialize, Serialize};

/// The one line on standard output that says the emulator listens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The address with the port it was given.
    pub(crate) listening: std::net::SocketAddr,
}

/// The platform's own account of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// In the order of the connections file.
    pub(crate) connections: Vec<ConnectionReport>,
}

/// The account of one connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionReport {
    /// The platform's name.
    pub(crate) platform: String,
    /// The connection's id.
    pub(crate) connection: String,
    /// Calls answered with 200.
    pub(crate) accepted: u64,
    /// Calls answered with 429.
    pub(crate) refused: u64,
    /// Accepted calls whose request id had been accepted before.
    pub(crate) duplicates: u64,
    /// The fullest any window has been, 1 when a limit was reached.
    pub(crate) worst_fill: f64,
    /// The same by limit, in the order of the connections file.
    pub(crate) limits: Vec<LimitReport>,
}

/// How full one limit's window has been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LimitReport {
    /// How many calls the window may hold.
    pub(crate) requests: usize,
    /// The window's length.
    pub(crate) window_seconds: f64,
    /// The most it has held.
    pub(crate) worst: usize,
}
