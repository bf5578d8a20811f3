//! Acquires of a session that came by a ring which this node has yet to apply.
//!
//! Promises: they wait beside their session, not in its way; each is released when its ring is here, or when it has waited long enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::engine::grant::Epoch;
use crate::engine::ring::Ring;
use crate::engine::time::Timestamp;

/// How long an acquire waits for a ring that its router has seen already.
const RING_ARRIVES_WITHIN: Duration = Duration::from_secs(1);

/// One that waits.
#[derive(Debug)]
struct Waiting<T> {
    epoch: Epoch,
    until: Timestamp,
    asked: T,
}

/// One that waits no longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released<T> {
    /// Its ring is here.
    Known(T),
    /// It is not, in time.
    TooLate(T),
}

/// All that wait, by the router's number: that is the order in which they came.
#[derive(Debug)]
pub(super) struct Parked<T> {
    rings: watch::Receiver<Arc<Ring>>,
    clock: Clock,
    waiting: BTreeMap<u64, Waiting<T>>,
}

impl<T> Parked<T> {
    pub(super) const fn new(rings: watch::Receiver<Arc<Ring>>, clock: Clock) -> Self {
        Self { rings, clock, waiting: BTreeMap::new() }
    }

    /// Whether the ring of this epoch is here.
    pub(super) fn knows(&self, epoch: Epoch) -> bool {
        self.rings.borrow().epoch() >= epoch
    }

    /// Lets one wait.
    pub(super) fn park(&mut self, number: u64, epoch: Epoch, asked: T) {
        self.waiting.insert(number, Waiting { epoch, until: self.clock.now() + RING_ARRIVES_WITHIN, asked });
    }

    /// Whether this one waits.
    pub(super) fn has(&self, number: u64) -> bool {
        self.waiting.contains_key(&number)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        self.waiting.remove(&number).map(|waiting| waiting.asked)
    }

    /// Those that wait no longer, as soon as there are some, in the order in which they came. Cancel-safe.
    pub(super) async fn released(&mut self) -> Vec<(u64, Released<T>)> {
        loop {
            let (known, now) = (self.rings.borrow_and_update().epoch(), self.clock.now());
            let is_released = |waiting: &Waiting<T>| waiting.epoch <= known || waiting.until <= now;
            let released: Vec<_> = self.waiting.extract_if(.., |_, waiting| is_released(waiting)).collect();
            if !released.is_empty() {
                let release = |(number, Waiting { epoch, asked, .. })| {
                    (number, if epoch <= known { Released::Known(asked) } else { Released::TooLate(asked) })
                };
                return released.into_iter().map(release).collect();
            }
            // Each waits equally long.
            let Some((_, first)) = self.waiting.first_key_value() else { return std::future::pending().await };
            tokio::select! {
                () = self.clock.sleep_until(first.until) => {}
                // The ledger, which sends them, outlives the sessions.
                Ok(()) = self.rings.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::grant::{LogIndex, NodeId, ShardCount};

    const fn epoch(index: u64) -> Epoch {
        Epoch(LogIndex(index))
    }

    fn ring(index: u64) -> Arc<Ring> {
        Arc::new(Ring::new(epoch(index), BTreeMap::from([(NodeId::new(1), ShardCount::MIN)])))
    }

    #[tokio::test]
    async fn a_ring_that_arrives_releases_those_that_came_by_it_in_their_order() {
        let rings = watch::Sender::new(ring(1));
        let mut parked = Parked::new(rings.subscribe(), Clock::start());
        assert!(parked.knows(epoch(1)) && !parked.knows(epoch(2)));
        for (number, index) in [(1, 3), (2, 2), (3, 2), (4, 2)] {
            parked.park(number, epoch(index), number);
        }
        assert_eq!(parked.remove(3), Some(3));
        rings.send_replace(ring(2));
        assert_eq!(parked.released().await, [(2, Released::Known(2)), (4, Released::Known(4))]);
        rings.send_replace(ring(3));
        assert_eq!(parked.released().await, [(1, Released::Known(1))]);
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_released_in_time() {
        let rings = watch::Sender::new(ring(1));
        let mut parked = Parked::new(rings.subscribe(), Clock::start());
        let began = parked.clock.now();
        parked.park(7, epoch(9), 7);
        assert_eq!(parked.released().await, [(7, Released::TooLate(7))]);
        assert!(parked.clock.now().saturating_since(began) >= RING_ARRIVES_WITHIN);
    }
}
