//! The grants of unary calls, which their callers may give back.
//!
//! Promises: a grant is given back once, however often that is asked; memory is bounded by number and by time.
//! Must not: hold anything that waits for these grants, for a unary caller never says that it has finished; or read a clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::engine::grant::RequestId;
use crate::engine::key::ConnectionKey;
use crate::engine::time::Timestamp;
use crate::owner::Slot;

/// How long a grant can be given back: far beyond any delivery, after which it must not be started.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// The most grants kept; the oldest are forgotten first.
const MAX_KEPT: usize = 65_536;

/// Request ids are their callers' own: two connections may use the same.
type Name = (ConnectionKey, RequestId);

/// What became of a release.
#[derive(Debug)]
pub(super) enum Release {
    /// The slot, to be given back.
    Now(Box<Slot>),
    /// It was given back before.
    Before,
    /// There is no such grant here, or no longer.
    Unknown,
}

#[derive(Debug)]
struct Kept {
    /// `None` when it was given back.
    slot: Option<Slot>,
    /// The number of its entry in `order`: a request that was given back and granted again has a later one.
    entry: u64,
}

/// The newest grants, in order of their coming.
#[derive(Debug)]
pub(super) struct Releasable {
    max_kept: usize,
    kept: HashMap<Name, Kept>,
    order: VecDeque<(Timestamp, Name, u64)>,
    last_entry: u64,
}

impl Releasable {
    /// No grant yet.
    pub(super) fn new() -> Self {
        Self { max_kept: MAX_KEPT, kept: HashMap::new(), order: VecDeque::new(), last_entry: 0 }
    }

    /// Keeps a grant.
    pub(super) fn keep(&mut self, slot: Slot, now: Timestamp) {
        self.forget(now);
        let name = (slot.key().clone(), slot.request());
        self.last_entry += 1;
        self.order.push_back((now + KEPT_FOR, name.clone(), self.last_entry));
        self.kept.insert(name, Kept { slot: Some(slot), entry: self.last_entry });
        if self.order.len() > self.max_kept {
            self.forget_oldest();
        }
    }

    /// Finds what is to be given back.
    pub(super) fn release(&mut self, key: &ConnectionKey, id: RequestId, now: Timestamp) -> Release {
        self.forget(now);
        match self.kept.get_mut(&(key.clone(), id)) {
            None => Release::Unknown,
            Some(kept) => kept.slot.take().map_or(Release::Before, |slot| Release::Now(Box::new(slot))),
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(until, ..)| *until <= now) {
            self.forget_oldest();
        }
        if self.kept.len() < self.kept.capacity() / 8 {
            self.kept.shrink_to(self.kept.len() * 2);
            self.order.shrink_to(self.order.len() * 2);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, name, entry)) = self.order.pop_front() else { return };
        if self.kept.get(&name).is_some_and(|kept| kept.entry == entry) {
            self.kept.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connection, Node, NodeConfig, RateLimit, Throttler};

    fn connection() -> Connection {
        Connection::new("test", "roomy", RateLimit::new(9, Duration::from_secs(3600)).unwrap()).unwrap()
    }

    async fn slot(throttler: &Throttler, id: u128) -> Slot {
        throttler.request(&connection()).request_id(RequestId::new(id)).acquire().await.unwrap().into_slot()
    }

    #[tokio::test]
    async fn the_oldest_grants_are_forgotten_by_number_and_by_age() {
        let node = Node::start(NodeConfig::in_memory()).await.unwrap();
        let throttler = node.throttler();
        let mut releasable = Releasable { max_kept: 2, ..Releasable::new() };
        let now = Timestamp::ZERO;
        let release = |releasable: &mut Releasable, id, now| releasable.release(connection().key(), RequestId::new(id), now);
        for id in 1..=3 {
            releasable.keep(slot(&throttler, id).await, now + Duration::from_secs(u64::try_from(id).unwrap()));
        }
        assert!(matches!(release(&mut releasable, 1, now), Release::Unknown));
        let last_moment = now + KEPT_FOR + Duration::from_secs(2);
        assert!(matches!(release(&mut releasable, 2, last_moment), Release::Unknown));
        assert!(matches!(release(&mut releasable, 3, last_moment), Release::Now(_)));
        assert!(matches!(release(&mut releasable, 3, last_moment), Release::Before));
        node.shutdown().await;
    }

    #[tokio::test]
    async fn a_request_that_was_granted_again_can_be_given_back_again_for_its_full_time() {
        let node = Node::start(NodeConfig::in_memory()).await.unwrap();
        let (throttler, mut releasable) = (node.throttler(), Releasable::new());
        let (key, id, now) = (connection().key().clone(), RequestId::new(1), Timestamp::ZERO);
        releasable.keep(slot(&throttler, 1).await, now);
        let Release::Now(first) = releasable.release(&key, id, now) else { panic!("it is kept") };
        first.give_back();
        let later = now + KEPT_FOR / 2;
        releasable.keep(slot(&throttler, 1).await, later);
        // The first grant's time is over, the second's is not.
        assert!(matches!(releasable.release(&key, id, now + KEPT_FOR), Release::Now(_)));
        node.shutdown().await;
    }
}
