//! The queue against a sorted vector.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{ArrivalNumber, RequestId, Sequence};
use turnstile::engine::queue::{Patience, Queue, Waiter};
use turnstile::engine::rate::{Limits, Niceness, RateLimit};
use turnstile::engine::time::Timestamp;

use crate::{QUEUE_CASES, cases};

/// What the oracle keeps of a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    niceness: u32,
    arrived_at: u64,
    arrival: ArrivalNumber,
    waits_since: ArrivalNumber,
    request: u128,
    units: u64,
    patience: Patience,
    reply: u32,
}

#[derive(Debug, Clone)]
enum Step {
    Insert {
        request: u128,
        niceness: u32,
        units: u64,
        waited: u64,
        patience: Patience,
    },
    Remove(u128),
    /// The one that left longest ago comes back under its old number.
    Requeue,
    Expire,
    /// All of at least this cost leave.
    Drain(u64),
    Renumber,
    Reply(u128),
    /// Those in front who take less than this don't count for the time being.
    SetAside(u64),
    /// Those who are set aside and take at least this much come back.
    Recall(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let patience = prop_oneof![
        3 => Just(Patience::Endless),
        1 => Just(Patience::Never),
        2 => (0..60_u64).prop_map(|at| Patience::Deadline(Timestamp::from_nanos(at))),
        1 => (0..60_u64).prop_map(|at| Patience::MaxWait(Timestamp::from_nanos(at))),
    ];
    // Ids are few, so that they come again; a third has waited elsewhere.
    let waited = prop_oneof![2 => Just(0), 1 => 0..30_u64];
    let insert = (0..24_u128, 0..3_u32, 1..5_u64, waited, patience);
    let step = prop_oneof![
        12 => insert.prop_map(|(request, niceness, units, waited, patience)| Step::Insert { request, niceness, units, waited, patience }),
        6 => (0..24_u128).prop_map(Step::Remove),
        4 => Just(Step::Requeue),
        3 => Just(Step::Expire),
        1 => (2..5_u64).prop_map(Step::Drain),
        1 => Just(Step::Renumber),
        1 => (0..24_u128).prop_map(Step::Reply),
        2 => (2..5_u64).prop_map(Step::SetAside),
        2 => (0..5_u64).prop_map(Step::Recall),
    ];
    prop::collection::vec(step, 1..80)
}

/// The waiters in the order in which they are served, kept by sorting, and the ids of those who are set aside.
#[derive(Default)]
struct Oracle(Vec<Entry>, BTreeSet<u128>);

impl Oracle {
    fn insert(&mut self, entry: Entry) {
        self.0.push(entry);
        self.0.sort_by_key(|entry| (entry.niceness, entry.arrival));
    }

    fn find(&self, request: u128) -> Option<Entry> {
        self.0.iter().find(|entry| entry.request == request).copied()
    }

    fn remove(&mut self, request: u128) -> Option<Entry> {
        let index = self.0.iter().position(|entry| entry.request == request)?;
        self.1.remove(&request);
        Some(self.0.remove(index))
    }

    fn present(&self) -> Vec<Entry> {
        self.0.iter().filter(|entry| !self.1.contains(&entry.request)).copied().collect()
    }

    fn set_aside_while(&mut self, is_absent: impl Fn(&Entry) -> bool) {
        let absent: Vec<u128> = self.present().iter().take_while(|entry| is_absent(entry)).map(|entry| entry.request).collect();
        self.1.extend(absent);
    }

    fn recall(&mut self, sequence: &mut Sequence, is_back: impl Fn(&Entry) -> bool) {
        let Self(waiters, aside) = self;
        let back: Vec<Entry> = waiters.iter().filter(|entry| aside.contains(&entry.request) && is_back(entry)).copied().collect();
        // The last of each niceness is the first to be numbered.
        for niceness in back.iter().map(|entry| entry.niceness).collect::<BTreeSet<u32>>() {
            for came in back.iter().rev().filter(|entry| entry.niceness == niceness) {
                let entry = waiters.iter_mut().find(|entry| entry.request == came.request).unwrap();
                entry.waits_since = sequence.arrival();
            }
        }
        for entry in back {
            aside.remove(&entry.request);
        }
    }

    fn renumber(&mut self, sequence: &mut Sequence) {
        self.0.sort_by_key(|entry| (entry.arrived_at, entry.arrival));
        for entry in &mut self.0 {
            entry.arrival = sequence.arrival();
            entry.waits_since = entry.arrival;
        }
        self.0.sort_by_key(|entry| (entry.niceness, entry.arrival));
        self.1.clear();
    }
}

fn waiter(entry: Entry, limits: &Limits) -> Waiter<u32> {
    Waiter {
        request: RequestId::new(entry.request),
        retryable: false,
        niceness: Niceness::new(entry.niceness),
        cost: Cost::of(entry.units),
        limits: limits.clone(),
        arrived_at: Timestamp::from_nanos(entry.arrived_at),
        arrival: entry.arrival,
        waits_since: entry.waits_since,
        patience: entry.patience,
        reply: entry.reply,
    }
}

fn entry(waiter: &Waiter<u32>) -> Entry {
    Entry {
        niceness: waiter.niceness.get(),
        arrived_at: waiter.arrived_at.as_nanos(),
        arrival: waiter.arrival,
        waits_since: waiter.waits_since,
        request: waiter.request.get(),
        units: waiter.cost.units,
        patience: waiter.patience,
        reply: waiter.reply,
    }
}

proptest! {
    #![proptest_config(cases(QUEUE_CASES))]

    #[test]
    fn a_queue_agrees_with_a_sorted_vector(steps in steps()) {
        let limits = Limits::new([RateLimit::new(9, Duration::from_secs(1)).unwrap()]).unwrap();
        let (mut queue, mut oracle) = (Queue::new(), Oracle::default());
        let (mut sequence, mut left) = (Sequence::default(), Vec::new());
        for (now, step) in (0_u64..).zip(steps) {
            match step {
                Step::Insert { request, niceness, units, waited, patience } if oracle.find(request).is_none() => {
                    let (arrival, reply) = (sequence.arrival(), u32::try_from(now).unwrap());
                    let arrived_at = (now + 40).saturating_sub(waited);
                    let new = Entry { niceness, arrived_at, arrival, waits_since: arrival, request, units, patience, reply };
                    queue.insert(waiter(new, &limits));
                    oracle.insert(new);
                }
                Step::Insert { .. } => {}
                Step::Remove(request) => {
                    let expected = oracle.remove(request);
                    prop_assert_eq!(queue.remove(RequestId::new(request)).as_ref().map(entry), expected);
                    left.extend(expected);
                }
                Step::Requeue => {
                    if let Some(back) = (!left.is_empty()).then(|| left.remove(0)).filter(|back| oracle.find(back.request).is_none()) {
                        queue.insert(waiter(back, &limits));
                        oracle.insert(back);
                    }
                }
                Step::Expire => {
                    while let Some(gone) = queue.pop_expired(Timestamp::from_nanos(now)) {
                        prop_assert!(gone.patience.ends_at().is_some_and(|at| at.as_nanos() <= now));
                        prop_assert_eq!(oracle.remove(gone.request.get()), Some(entry(&gone)));
                    }
                    let missed = oracle.0.iter().find(|entry| entry.patience.ends_at().is_some_and(|at| at.as_nanos() <= now));
                    prop_assert_eq!(missed, None);
                }
                Step::Drain(units) => {
                    let gone: Vec<Entry> = queue.drain_where(|waiter| waiter.cost.units >= units).iter().map(entry).collect();
                    let (expected, stay) = oracle.0.iter().partition(|entry| entry.units >= units);
                    oracle.0 = stay;
                    oracle.1.retain(|request| oracle.0.iter().any(|entry| entry.request == *request));
                    prop_assert_eq!(gone, expected);
                }
                Step::Renumber => {
                    let mut same = sequence.clone();
                    queue.renumber(&mut sequence);
                    oracle.renumber(&mut same);
                    // Numbers of those that left are of the time before.
                    left.clear();
                }
                Step::Reply(request) => {
                    let former = queue.supersede(RequestId::new(request), Patience::Endless, 7);
                    prop_assert_eq!(former, oracle.find(request).map(|entry| entry.reply));
                    oracle.0.iter_mut().filter(|entry| entry.request == request).for_each(|entry| (entry.reply, entry.patience) = (7, Patience::Endless));
                }
                Step::SetAside(units) => {
                    queue.set_aside_while(|waiter| waiter.cost.units < units);
                    oracle.set_aside_while(|entry| entry.units < units);
                }
                Step::Recall(units) => {
                    let mut same = sequence.clone();
                    queue.recall(&mut sequence, |waiter| waiter.cost.units >= units);
                    oracle.recall(&mut same, |entry| entry.units >= units);
                    prop_assert_eq!(sequence.last(), same.last());
                }
            }
            let present = oracle.present();
            prop_assert_eq!(queue.iter().map(entry).collect::<Vec<_>>(), present.clone());
            prop_assert_eq!(queue.first().map(entry), present.first().copied());
            prop_assert_eq!(queue.aside().map(|waiter| waiter.request.get()).collect::<BTreeSet<_>>(), oracle.1.clone());
            prop_assert_eq!(queue.has_aside(), !oracle.1.is_empty());
            prop_assert_eq!((queue.len(), queue.is_empty()), (oracle.0.len(), oracle.0.is_empty()));
            prop_assert_eq!(queue.next_expiry(), oracle.0.iter().filter_map(|entry| entry.patience.ends_at()).min());
            prop_assert_eq!(queue.has_tries(), oracle.0.iter().any(|entry| entry.patience == Patience::Never));
            for niceness in 0..3 {
                let before: u64 = present.iter().filter(|entry| entry.niceness <= niceness).map(|entry| entry.units).sum();
                prop_assert_eq!(queue.load_before(Niceness::new(niceness)), Cost::of(before));
                let depth = present.iter().filter(|entry| entry.niceness == niceness).count();
                let told = queue.depths().find(|(of, _)| of.get() == niceness).map(|(_, depth)| depth);
                prop_assert_eq!(told, (depth > 0).then_some(depth));
            }
        }
    }
}
