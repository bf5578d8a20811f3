//! One connection, as tables of (millisecond, input) → what comes out, a poll after each input as its owner does.

mod absence;
mod asking;
mod limits;
mod order;
mod patience;
mod policy;
mod requests;
mod stale;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::engine::ledger::{Adjusted, Ask};
use crate::engine::rate::Niceness;
use crate::engine::rate::RateLimit;

/// What happens to the connection.
#[derive(Debug, Clone)]
enum In {
    /// A request comes.
    Acquire(Acquire<u32>),
    /// A waiter leaves.
    Cancel(u128),
    /// The ledger has charged this much, now.
    Charged(Cost),
    /// The ledger says: not before this millisecond.
    NotBefore(u64),
    /// The ledger has taken returns back.
    Done,
    /// The ledger says that the ring has moved.
    Moved,
    /// Another owns the connection by the new ring.
    HandOver,
    /// The ledger has committed a pause until this millisecond.
    Pause(u64),
    /// Until it is resumed.
    Forever,
    Resume,
    /// An operator has set limits, or deleted them.
    Rule(Option<Limits>),
    /// This request's grant came too late and its waiter comes back.
    Stale(u128),
    /// Nothing was started with this request's grant.
    Unused(u128),
    /// Nobody hears any more of those behind these replies.
    Silent(&'static [u32]),
    /// All are heard again but those behind these replies.
    HeardBut(&'static [u32]),
    /// Time has passed.
    Wake,
}

/// What comes out, replies and requests by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Out {
    Release(u32),
    Refuse(u32, Refusal),
    /// Slots go back to the ledger.
    Return(u64),
    /// Slots are asked for: at least, at most.
    Ask(u64, u64),
}
use Out::{Ask as Asks, Refuse, Release, Return as Returns};

fn asks(count: u64) -> Out {
    Asks(1, count)
}

fn charged(units: u64) -> In {
    In::Charged(Cost::of(units))
}

fn wait(request: u128) -> Acquire<u32> {
    nice(request, 5)
}

fn nice(request: u128, niceness: u32) -> Acquire<u32> {
    Acquire {
        request: RequestId::new(request),
        retryable: true,
        niceness: Niceness::new(niceness),
        cost: Cost::ONE,
        limits: limits(&[(2, 10)]),
        waited: Duration::ZERO,
        patience: Patience::Endless,
        reply: u32::try_from(request).unwrap(),
    }
}

fn costly(request: u128, units: u64) -> Acquire<u32> {
    Acquire { cost: Cost::of(units), ..wait(request) }
}

fn tries(request: u128) -> Acquire<u32> {
    Acquire { patience: Patience::Never, ..wait(request) }
}

fn until(request: u128, deadline: u64) -> Acquire<u32> {
    Acquire { patience: Patience::Deadline(local(deadline)), ..wait(request) }
}

fn at_most_until(request: u128, latest: u64) -> Acquire<u32> {
    Acquire { patience: Patience::MaxWait(local(latest)), ..wait(request) }
}

fn limited(acquire: Acquire<u32>, stated: &[(u32, u64)]) -> Acquire<u32> {
    Acquire { limits: limits(stated), ..acquire }
}

/// Limits of (count, seconds) without margins.
fn limits(stated: &[(u32, u64)]) -> Limits {
    Limits::new(stated.iter().map(|&(count, seconds)| bare(count, seconds))).unwrap()
}

fn bare(count: u32, seconds: u64) -> RateLimit {
    let limit = RateLimit::new(count, Duration::from_secs(seconds)).unwrap();
    limit.with_delivery_bound(Duration::ZERO).unwrap().with_guard(Duration::ZERO).unwrap()
}

/// The limit of 2 in 10 s with its margins: 100 ms to deliver, 55 ms for the way to the platform.
fn margins(acquire: Acquire<u32>) -> Acquire<u32> {
    let limit = RateLimit::new(2, Duration::from_secs(10)).unwrap();
    assert_eq!((limit.delivery_bound(), limit.guard()), (ms(100), ms(55)));
    Acquire { limits: Limits::new([limit]).unwrap(), ..acquire }
}

const fn local(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

const fn ledger(millis: u64) -> LedgerTime {
    LedgerTime::from_nanos(millis * 1_000_000)
}

const fn now(millis: u64) -> Now {
    Now { local: local(millis), ledger: ledger(millis) }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn not_now(retry_after_millis: u64) -> Refusal {
    Refusal::NotNow { retry_after: ms(retry_after_millis) }
}

/// A connection, and what an owner keeps beside it.
struct Owner {
    throttle: Throttle<u32>,
    sequence: Sequence,
    bounds: Bounds,
    slowest: Duration,
    /// Every acquire that came, and its last grant.
    acquires: BTreeMap<u128, Acquire<u32>>,
    grants: BTreeMap<u128, Grant>,
    asked: Option<Ask>,
    absent: BTreeSet<u32>,
}

impl Owner {
    fn of(throttle: Throttle<u32>) -> Self {
        let bounds = Bounds { max_waiters: 100, strict_limits: false };
        let (sequence, slowest) = (Sequence::default(), Duration::ZERO);
        let (acquires, grants) = (BTreeMap::new(), BTreeMap::new());
        Self { throttle, sequence, bounds, slowest, acquires, grants, asked: None, absent: BTreeSet::new() }
    }

    fn new() -> Self {
        Self::of(Throttle::new(Limiter::default()))
    }

    /// One input and the poll after it: effects in order, then what is proposed.
    fn step(&mut self, millis: u64, input: In) -> Vec<Out> {
        let (now, mut effects) = (now(millis), Vec::new());
        match input {
            In::Acquire(acquire) => {
                self.acquires.insert(acquire.request.get(), acquire.clone());
                self.throttle.acquire(now, acquire, self.bounds, &mut self.sequence, &mut effects);
            }
            In::Cancel(request) => {
                self.throttle.cancel(RequestId::new(request), |_| true).expect("it waits");
            }
            In::Charged(cost) => self.verdict(now, &Verdict::Charged { stamp: now.ledger, cost }, &mut effects),
            In::NotBefore(at) => self.verdict(now, &Verdict::NotBefore { stamp: now.ledger, at: ledger(at) }, &mut effects),
            In::Done => self.verdict(now, &Verdict::Done { stamp: now.ledger }, &mut effects),
            In::Moved => self.verdict(now, &Verdict::Moved { epoch: crate::engine::grant::Epoch::default() }, &mut effects),
            In::HandOver => self.throttle.hand_over(&mut effects),
            In::Rule(policy) => self.throttle.rule(now, policy, &mut effects),
            In::Resume => self.throttle.adjusted(now.ledger, &Adjusted::Resumed),
            In::Forever => self.throttle.adjusted(now.ledger, &Adjusted::Paused { until: LedgerTime::END }),
            In::Pause(until) => self.throttle.adjusted(now.ledger, &Adjusted::Paused { until: ledger(until) }),
            In::Stale(request) => {
                let acquire = self.acquires[&request].clone();
                self.throttle.requeue(now, &self.grants[&request], acquire, &mut self.sequence, &mut effects);
            }
            In::Unused(request) => self.throttle.give_back(RequestId::new(request), &self.grants[&request]),
            In::Silent(replies) => self.absent.extend(replies),
            In::HeardBut(replies) => {
                self.absent = replies.iter().copied().collect();
                self.throttle.recall(self.slowest, &mut self.sequence, present(&self.absent));
            }
            In::Wake => {}
        }
        let action = self.throttle.poll(now, self.slowest, &mut self.sequence, &mut effects, present(&self.absent));
        let mut out: Vec<Out> = effects.into_iter().map(|effect| self.note(effect)).collect();
        self.asked = None;
        if let Some(Action::Slots { returns, ask }) = action {
            out.extend(returns.iter().map(|given_back| Returns(given_back.cost.units)));
            out.extend(ask.iter().map(|ask| Asks(ask.least.units, ask.most.units)));
            self.asked = ask;
        } else {
            self.expect_no_spin(now, !out.is_empty());
        }
        out
    }

    fn verdict(&mut self, now: Now, verdict: &Verdict, effects: &mut Vec<Effect<u32>>) {
        self.throttle.verdict(now, verdict, &mut self.sequence, effects, present(&self.absent));
    }

    fn note(&mut self, effect: Effect<u32>) -> Out {
        match effect {
            Effect::Release { reply, request, grant } => {
                self.grants.insert(request.get(), grant);
                Release(reply)
            }
            Effect::Refuse { reply, refusal } => Refuse(reply, refusal),
        }
    }

    /// Nothing was proposed: so either something is in flight, or there is nothing to do before a later moment.
    fn expect_no_spin(&self, now: Now, changed: bool) {
        let wake = self.throttle.next_wake(now);
        let is_later = wake.is_none_or(|at| at > now.local);
        assert!(is_later || changed, "nothing to propose at {now:?}, and yet it wants to wake at {wake:?}");
    }

    /// A table: at each millisecond one input, and all that comes of it.
    #[track_caller]
    fn expect(&mut self, rows: &[(u64, In, &[Out])]) {
        for (row, (millis, input, expected)) in rows.iter().enumerate() {
            assert_eq!(self.step(*millis, input.clone()), *expected, "row {row} at {millis} ms: {input:?}");
        }
    }
}

fn present(absent: &BTreeSet<u32>) -> impl Fn(&u32, Duration) -> bool + '_ {
    // Those who are absent have been for half of the delivery bound of `margins`.
    |reply, silence| !absent.contains(reply) || silence > ms(50)
}

fn acquire(acquire: Acquire<u32>) -> In {
    In::Acquire(acquire)
}

/// An owner whose limit of 2 in 10 s was used up at 0 ms by the requests 91 and 92.
fn full() -> Owner {
    let mut owner = Owner::new();
    owner.expect(&[
        (0, acquire(wait(91)), &[asks(1)]),
        (0, acquire(wait(92)), &[]),
        (0, charged(1), &[Release(91), asks(1)]),
        (0, charged(1), &[Release(92)]),
    ]);
    owner
}
