//! A history: what clients wrote down, one JSON object a line.
//!
//! ```text
//! {"event":"enqueue","at_nanos":5,"request":"w1-7","client":"w1","platform":"slack","connection":"acme",
//!  "limits":[{"requests":3,"window_seconds":1.0}],"niceness":5}                  it begins to wait
//! {"event":"queued","at_nanos":6,"request":"w1-7"}                               by now it waits at the owner, if that is known
//! {"event":"grant","at_nanos":9,"request":"w1-7","tenure":1,"arrival":2,"release":3}   it starts its call
//! {"event":"done","at_nanos":20,"request":"w1-7"}                                the call is over
//! {"event":"cancel","at_nanos":9,"request":"w1-7"}                               or its caller has given up,
//! {"event":"deadline","at_nanos":9,"request":"w1-7"}                             or its time was over,
//! {"event":"error","at_nanos":9,"request":"w1-7","message":"…"}                  or it was refused
//! {"event":"fault","at_nanos":7,"what":"kill owner"}                             what was done to the cluster
//! {"event":"end","at_nanos":30}                                                  everybody was waited for
//! ```
//!
//! Moments are of one monotonic clock, in any order of lines. A retry is an `enqueue` under the same `request` with another `attempt`, which its other lines
//! name as well. Fields that are not listed here are refused: a misspelt one would be a check that never looks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::by_name;
use crate::engine::algorithm::Algorithm;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Line {
    /// A request begins to wait.
    Enqueue(Enqueue),
    /// It waits at its owner by now.
    Queued(Happened),
    /// It starts its call.
    Grant(Granted),
    /// Its call is over.
    Done(Happened),
    /// Its caller has given up.
    Cancel(Happened),
    /// Its time was over.
    Deadline(Happened),
    /// It was refused.
    Error(Failed),
    /// Something was done to the cluster.
    Fault(Fault),
    /// Nobody waits any more: whoever has no end by now has none.
    End {
        /// When.
        at_nanos: u64,
    },
}

impl Line {
    /// When it happened.
    pub(crate) const fn at(&self) -> u64 {
        match self {
            Self::Enqueue(Enqueue { at_nanos, .. })
            | Self::Queued(Happened { at_nanos, .. })
            | Self::Grant(Granted { at_nanos, .. })
            | Self::Done(Happened { at_nanos, .. })
            | Self::Cancel(Happened { at_nanos, .. })
            | Self::Deadline(Happened { at_nanos, .. })
            | Self::Error(Failed { at_nanos, .. })
            | Self::Fault(Fault { at_nanos, .. })
            | Self::End { at_nanos } => *at_nanos,
        }
    }

    /// Which try of which request it is about, if it is about one.
    pub(crate) fn about(&self) -> Option<(&str, u32)> {
        match self {
            Self::Enqueue(Enqueue { request, attempt, .. })
            | Self::Queued(Happened { request, attempt, .. })
            | Self::Grant(Granted { request, attempt, .. })
            | Self::Done(Happened { request, attempt, .. })
            | Self::Cancel(Happened { request, attempt, .. })
            | Self::Deadline(Happened { request, attempt, .. })
            | Self::Error(Failed { request, attempt, .. }) => Some((request, *attempt)),
            Self::Fault(_) | Self::End { .. } => None,
        }
    }
}

/// A request, as it begins to wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enqueue {
    /// When.
    pub(crate) at_nanos: u64,
    /// Its name; a retry has the same.
    pub(crate) request: String,
    /// Which try of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) attempt: u32,
    /// Whose.
    pub(crate) client: String,
    /// The platform.
    pub(crate) platform: String,
    /// The connection within it.
    pub(crate) connection: String,
    /// What the connection may take.
    pub(crate) limits: Vec<Limit>,
    /// 0 is served first.
    #[serde(default)]
    pub(crate) niceness: u32,
    /// Units that it takes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) cost: u32,
    /// How long it waits at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_seconds: Option<f64>,
}

/// So much in any rolling window, or as its algorithm counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// Units per window.
    pub(crate) requests: u32,
    /// Its length.
    pub(crate) window_seconds: f64,
    /// How they are counted.
    #[serde(default, with = "by_name", skip_serializing_if = "by_name::is_default")]
    pub(crate) algorithm: Algorithm,
}

/// Something about one try of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Happened {
    /// When.
    pub(crate) at_nanos: u64,
    /// Which request.
    pub(crate) request: String,
    /// Which try of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) attempt: u32,
}

/// A grant, as its client saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Granted {
    /// When the call was started.
    pub(crate) at_nanos: u64,
    /// Which request.
    pub(crate) request: String,
    /// Which try of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) attempt: u32,
    /// Which run of which owner has numbered it, where that is known: with both numbers, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenure: Option<u64>,
    /// Its place in its owner's order of arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arrival: Option<u64>,
    /// From when on it waited without a break, in the same numbers; its arrival, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits_since: Option<u64>,
    /// Its place in its owner's order of release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<u64>,
    /// How late the grant may have reached its client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery_seconds: Option<f64>,
    /// What was kept for the way to the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guard_seconds: Option<f64>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failed {
    /// When.
    pub(crate) at_nanos: u64,
    /// Which request.
    pub(crate) request: String,
    /// Which try of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) attempt: u32,
    /// What the client was told.
    pub(crate) message: String,
}

/// Something that was done to the cluster, or was to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// When.
    pub(crate) at_nanos: u64,
    /// What.
    pub(crate) what: String,
    /// When it was over, if it does not stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_nanos: Option<u64>,
    /// Whether it came about.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub(crate) struck: bool,
}

/// Why a line is none of a history.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {reason}")]
pub(crate) struct BadLine {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// Parses a history. Empty lines are left out.
///
/// # Errors
/// The first line that is none.
pub(crate) fn parse(text: &str) -> Result<Vec<(usize, Line)>, BadLine> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| match serde_json::from_str(line) {
            Ok(line) => Ok((number, line)),
            Err(error) => Err(BadLine { number, reason: error.to_string() }),
        })
        .collect()
}

/// A span of so many seconds, if there is one.
pub(crate) fn span(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_one(cost: &u32) -> bool {
    *cost == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(attempt: &u32) -> bool {
    *attempt == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_yes(struck: &bool) -> bool {
    *struck
}
