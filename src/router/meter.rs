//! How the acquires of a node end, counted.
//!
//! Promises: each is counted once, however it ends, in one of six ways; counting is one addition to a number that the node keeps at hand.

use metrics::{Counter, Histogram};

use super::{RouteError, Routed};
use crate::engine::rate::Niceness;
use crate::engine::throttle::Refusal;
use crate::telemetry::{self, ByBand, REQUESTS};

/// What a router counts.
#[derive(Debug)]
pub(super) struct Meter {
    granted: Counter,
    /// There is no slot, or none within the longest wait.
    throttled: Counter,
    deadline: Counter,
    /// A bound, or what was asked for.
    refused: Counter,
    /// No owner, or no node.
    unavailable: Counter,
    /// Its caller has gone.
    cancelled: Counter,
    waited: ByBand<Histogram>,
    stale: Counter,
}

impl Meter {
    /// In this process's recorder.
    pub(super) fn new() -> Self {
        Self {
            granted: REQUESTS.counter_of("granted"),
            throttled: REQUESTS.counter_of("throttled"),
            deadline: REQUESTS.counter_of("deadline"),
            refused: REQUESTS.counter_of("refused"),
            unavailable: REQUESTS.counter_of("unavailable"),
            cancelled: REQUESTS.counter_of("cancelled"),
            waited: ByBand::new(|band| telemetry::TIME_IN_QUEUE.histogram_of(band)),
            stale: telemetry::STALE.counter(),
        }
    }

    /// An acquire begins.
    pub(super) const fn begin(&self) -> Counted<'_> {
        Counted { meter: self, has_ended: false }
    }

    /// A grant came too late.
    pub(super) fn too_late(&self) {
        self.stale.increment(1);
    }

    const fn refusal(&self, refusal: &Refusal) -> &Counter {
        match refusal {
            Refusal::NotNow { .. } => &self.throttled,
            Refusal::Deadline { .. } => &self.deadline,
            Refusal::Moved => &self.unavailable,
            Refusal::CostOverLimit { .. }
            | Refusal::QueueFull { .. }
            | Refusal::TooManyLimits { .. }
            | Refusal::LimitsDiffer { .. }
            | Refusal::RequestIdReused
            | Refusal::Superseded
            | Refusal::AlreadyGranted => &self.refused,
        }
    }
}

/// An acquire that has begun: cancelled when it is dropped before it has ended.
pub(super) struct Counted<'a> {
    meter: &'a Meter,
    has_ended: bool,
}

impl Counted<'_> {
    /// It has ended like this.
    pub(super) fn end(mut self, niceness: Niceness, routed: &Result<Routed, RouteError>) {
        self.has_ended = true;
        let meter = self.meter;
        let ended = match routed {
            Ok(routed) => {
                meter.waited.of(niceness).record(routed.waited);
                &meter.granted
            }
            Err(RouteError::Refused(refusal)) => meter.refusal(refusal),
            Err(RouteError::TooManyConnections { .. } | RouteError::TooManyInFlight { .. }) => &meter.refused,
            Err(RouteError::OutOfReach { .. } | RouteError::Stopped { .. }) => &meter.unavailable,
        };
        ended.increment(1);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.meter.cancelled.increment(1);
        }
    }
}
