//! A history put together: every try of every request with its end, by connection.
//!
//! Must not: judge. What contradicts itself, such as an end before the beginning, is no history and is refused with its line.

use std::collections::HashMap;
use std::time::Duration;

use super::history::{BadLine, Enqueue, Fault, Granted, Line, span};
use crate::cli::order::{Sequence, Tenure};
use crate::engine::algorithm::Algorithm;

/// How long after a fault owners may still be changing.
const CHANGES_FOR: Duration = Duration::from_secs(3);

/// Everything that a history tells.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// In the order of their first request.
    pub(super) connections: Vec<Connection>,
    /// What was done to the cluster, in order.
    pub(super) faults: Vec<Fault>,
    /// When everybody had been waited for, if they were.
    pub(super) ended_at: Option<Duration>,
}

impl Account {
    /// How many faults may have had owners change between these moments: as one began, as it ended, or until they had settled.
    pub(super) fn changes(&self, from: Duration, to: Duration) -> usize {
        let may_have = |fault: &&Fault| {
            let begins = Duration::from_nanos(fault.at_nanos);
            let ends = Duration::from_nanos(fault.until_nanos.unwrap_or(fault.at_nanos)) + CHANGES_FOR;
            fault.struck && begins <= to && from <= ends
        };
        self.faults.iter().filter(may_have).count()
    }
}

/// One connection, and who called it.
#[derive(Debug)]
pub(super) struct Connection {
    /// As people write it.
    pub(super) name: String,
    /// In the order in which they began to wait.
    pub(super) tries: Vec<Try>,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) count: u64,
    pub(super) window: Duration,
    pub(super) algorithm: Algorithm,
}

impl Limit {
    /// When a bucket that is empty at `empty_at` and is charged `units` to count from `from` on is empty again.
    pub(super) fn empty_after(&self, empty_at: Duration, from: Duration, units: u64) -> Duration {
        empty_at.max(from) + self.takes(units)
    }

    /// How long it takes until so many units of a bucket have come back.
    pub(super) fn takes(&self, units: u64) -> Duration {
        let nanos = self.window.as_nanos() * u128::from(units) / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// One try of a request.
#[derive(Debug, Clone)]
pub(super) struct Try {
    pub(super) request: String,
    pub(super) client: String,
    pub(super) limits: Vec<Limit>,
    pub(super) niceness: u32,
    pub(super) cost: u64,
    pub(super) timeout: Option<Duration>,
    pub(super) enqueued: Duration,
    /// When it was known to wait at its owner.
    pub(super) queued: Option<Duration>,
    /// The first, if it has any.
    pub(super) end: Option<End>,
    /// Answers after the first.
    pub(super) more_ends: u64,
}

/// How a try ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    Granted(Grant),
    /// Its caller gave up, its time was over, or it was refused.
    Other {
        at: Duration,
    },
}

/// A grant as its client saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) at: Duration,
    pub(super) numbers: Option<Numbers>,
    /// What was kept for its way; zero where that is not known.
    pub(super) margin: Duration,
    /// How late it may have reached its client.
    pub(super) delivery: Duration,
}

/// Drawn by one owner from one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) tenure: Tenure,
    pub(super) arrival: Sequence,
    pub(super) waits_since: Sequence,
    pub(super) release: Sequence,
}

impl Try {
    /// As people find it in the history.
    pub(super) fn name(&self) -> String {
        format!("{:?} of {}", self.request, self.client)
    }

    /// Its grant, if it has one.
    pub(super) const fn grant(&self) -> Option<&Grant> {
        match &self.end {
            Some(End::Granted(grant)) => Some(grant),
            Some(End::Other { .. }) | None => None,
        }
    }

    /// When it ended.
    pub(super) const fn ended_at(&self) -> Option<Duration> {
        match &self.end {
            Some(End::Granted(grant)) => Some(grant.at),
            Some(End::Other { at }) => Some(*at),
            None => None,
        }
    }
}

/// Puts a history together.
///
/// # Errors
/// The first line that contradicts another.
pub(super) fn put_together(mut lines: Vec<(usize, Line)>) -> Result<Account, BadLine> {
    // Stable: of two at one moment the one that was written first comes first.
    lines.sort_by_key(|(_, line)| (line.at(), !matches!(line, Line::Enqueue(_))));
    let mut account = Account::default();
    let mut connections: HashMap<(String, String), usize> = HashMap::new();
    let mut tries: HashMap<(String, u32), (usize, usize)> = HashMap::new();
    for (number, line) in lines {
        let bad = |reason: String| BadLine { number, reason };
        let at = Duration::from_nanos(line.at());
        match line {
            Line::Enqueue(enqueue) => {
                let key = (enqueue.platform.clone(), enqueue.connection.clone());
                let name = format!("{}/{}", enqueue.platform, enqueue.connection);
                let place = *connections.entry(key).or_insert_with(|| {
                    account.connections.push(Connection { name, tries: Vec::new() });
                    account.connections.len() - 1
                });
                let id = (enqueue.request.clone(), enqueue.attempt);
                let Some(connection) = account.connections.get_mut(place) else { continue };
                if tries.insert(id, (place, connection.tries.len())).is_some() {
                    let (request, attempt) = (enqueue.request, enqueue.attempt);
                    return Err(bad(format!("request {request:?} has begun attempt {attempt} already")));
                }
                connection.tries.push(begun(enqueue, at).map_err(bad)?);
            }
            Line::Fault(fault) => account.faults.push(fault),
            Line::End { .. } => account.ended_at = Some(at),
            Line::Queued(_) | Line::Grant(_) | Line::Done(_) | Line::Cancel(_) | Line::Deadline(_) | Line::Error(_) => {
                let Some((request, attempt)) = line.about() else { continue };
                let unknown = || bad(format!("request {request:?} has not begun attempt {attempt} by then"));
                let (place, index) = *tries.get(&(request.to_owned(), attempt)).ok_or_else(unknown)?;
                let found = account.connections.get_mut(place).and_then(|connection| connection.tries.get_mut(index));
                let Some(found) = found else { continue };
                happened(found, &line, at).map_err(bad)?;
            }
        }
    }
    Ok(account)
}

fn begun(enqueue: Enqueue, at: Duration) -> Result<Try, String> {
    let Enqueue { request, client, limits, niceness, cost, timeout_seconds, .. } = enqueue;
    let limit = |limit: &super::history::Limit| {
        let window = span(limit.window_seconds).filter(|window| !window.is_zero());
        let window = window.ok_or_else(|| format!("window_seconds is {}: it takes a number above 0", limit.window_seconds))?;
        Ok::<_, String>(Limit { count: limit.requests.into(), window, algorithm: limit.algorithm })
    };
    let timeout = timeout_seconds
        .map(|seconds| span(seconds).ok_or_else(|| format!("timeout_seconds is {seconds}: it takes a number of 0 or more")));
    Ok(Try {
        request,
        client,
        limits: limits.iter().map(limit).collect::<Result<_, _>>()?,
        niceness,
        cost: cost.into(),
        timeout: timeout.transpose()?,
        enqueued: at,
        queued: None,
        end: None,
        more_ends: 0,
    })
}

fn happened(one: &mut Try, line: &Line, at: Duration) -> Result<(), String> {
    let end = match line {
        Line::Queued(_) => {
            one.queued = Some(at);
            return Ok(());
        }
        Line::Done(_) => {
            let is_granted = one.grant().is_some();
            return is_granted.then_some(()).ok_or_else(|| format!("request {:?} is done and was not granted", one.request));
        }
        Line::Grant(granted) => End::Granted(grant(granted, at)?),
        Line::Cancel(_) | Line::Deadline(_) | Line::Error(_) => End::Other { at },
        // These are about no try that has begun.
        Line::Enqueue(_) | Line::Fault(_) | Line::End { .. } => return Ok(()),
    };
    match &one.end {
        None => one.end = Some(end),
        Some(_) => one.more_ends += 1,
    }
    Ok(())
}

fn grant(granted: &Granted, at: Duration) -> Result<Grant, String> {
    let numbers = match (granted.tenure, granted.arrival, granted.release) {
        (Some(tenure), Some(arrival), Some(release)) => {
            let waits_since = Sequence(granted.waits_since.unwrap_or(arrival));
            Some(Numbers { tenure: Tenure(tenure), arrival: Sequence(arrival), waits_since, release: Sequence(release) })
        }
        (None, None, None) => None,
        _ => return Err("tenure, arrival and release come together or not at all".to_owned()),
    };
    let margin = |name: &str, seconds: Option<f64>| {
        let seconds = seconds.unwrap_or_default();
        span(seconds).ok_or_else(|| format!("{name} is {seconds}: it takes a number of 0 or more"))
    };
    let delivery = margin("delivery_seconds", granted.delivery_seconds)?;
    let guard = margin("guard_seconds", granted.guard_seconds)?;
    Ok(Grant { at, numbers, margin: delivery + guard, delivery })
}
