//! What a shard makes of changes that it hears of before or after its node has applied them.

use super::*;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::grant::{Charge, NodeId, ShardCount, Tenure};
use crate::engine::rate::{Limits, RateLimit};

/// Who waits.
#[derive(Debug)]
struct Waits;

impl Caller for Waits {
    fn is_present(&self, _: Timestamp, _: Duration) -> bool {
        true
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// A node that has applied the log up to a stamp, where 60 of 100 tokens an hour are charged.
struct Applied {
    ring: Arc<Ring>,
    limiter: Limiter,
    stamp: LedgerTime,
}

impl View for Applied {
    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring)
    }

    fn newest_stamp(&self) -> (LedgerTime, Timestamp) {
        (self.stamp, Timestamp::ZERO)
    }

    fn limiter(&self, _: &ConnectionKey) -> (Result<Limiter, usize>, LedgerTime) {
        (Ok(self.limiter.clone()), self.stamp)
    }

    fn policy(&self, _: &ConnectionKey) -> Option<Limits> {
        None
    }

    fn residents(&self) -> usize {
        0
    }
}

const fn at(millis: u64) -> LedgerTime {
    LedgerTime::from_nanos(millis * 1_000_000)
}

fn limits() -> Limits {
    let hourly = RateLimit::new(100, Duration::from_secs(3600)).unwrap().counting(Dimension::Tokens);
    Limits::from(hourly.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::ZERO).unwrap())
}

/// The tokens that a shard takes to be taken, which hears of a debt of 30 at 20 ms, and of its first waiter: in this order or the other, by a node that has applied the log
/// up to a stamp.
fn taken(applied: u64, hears_first: bool) -> u64 {
    let node = NodeId::new(1);
    let ring = Arc::new(Ring::new(Epoch::default(), std::iter::once((node, ShardCount::MIN)).collect()));
    let mut limiter = Limiter::default();
    limiter.state(&limits(), at(10)).unwrap();
    limiter.charge(Charge { stamp: at(10), delivery: Duration::ZERO }, Cost::ONE.with_tokens(60));
    let (charge, owed) = (Charge { stamp: at(10), delivery: Duration::ZERO }, Cost::ZERO.with_tokens(30));
    if applied >= 20 {
        limiter.owe(at(20), owed);
    }
    let view = Applied { ring, limiter, stamp: at(applied) };
    let start = Start {
        id: ShardId { node, index: 0 },
        bounds: Bounds { max_waiters: 10, strict_limits: false },
        max_connections: 10,
        sequence: Sequence::after(Tenure::new(1), 0),
        ledger_clock: LedgerClock::starting(at(applied), Timestamp::ZERO),
        respawned_at: None,
    };
    let mut shard = Shard::new(start, &view);
    let (key, local) = (ConnectionKey::new("test", "adjusted").unwrap(), Timestamp::from_nanos(30_000_000));
    let change = (at(20), Adjusted::Reconciled { charge, refunded: Cost::ZERO, owed });
    let hear = |shard: &mut Shard<Waits>| shard.adjusted(local, key.clone(), change, &view);
    if hears_first {
        hear(&mut shard);
    }
    assert!(shard.reside(shard.ledger_clock.now(local), &key, &view));
    if !hears_first {
        hear(&mut shard);
    }
    let limiter = shard.connections[&key].throttle.limiter();
    limiter.fill(at(30)).find(|(limit, _)| limit.dimension() == Dimension::Tokens).unwrap().1
}

#[test]
fn what_the_ledger_has_changed_counts_once_whether_the_node_has_applied_it_or_hears_of_it_first() {
    for (applied, hears_first) in [(19, true), (19, false), (20, true), (20, false), (25, true), (25, false)] {
        assert_eq!(taken(applied, hears_first), 90, "applied up to {applied} ms, heard first: {hears_first}");
    }
}
