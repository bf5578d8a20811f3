//! Throttle and ledger together: no limit broken at the platform, no inversion, one answer for everyone, and nothing left behind.

use std::time::Duration;

use proptest::prelude::*;
use turnstile::engine::algorithm::Algorithm;
use turnstile::engine::cost::{Cost, Dimension};
use turnstile::engine::ledger::Command;
use turnstile::engine::rate::{Limits, RateLimit};
use turnstile::engine::throttle::{Acquire, Patience};
use turnstile::engine::time::Timestamp;

use crate::fate::{Delivery, Fate, Loss, Released, Start};
use crate::world::World;
use crate::{CONNECTION_CASES, cases};

#[derive(Debug, Clone)]
enum Input {
    /// Of a caller that knows the limits, or of one that takes each to be half as high.
    Acquire {
        niceness: u32,
        cost: Cost,
        patience: Option<(Kind, u64)>,
        retryable: bool,
        halved: bool,
    },
    Retry(usize),
    Cancel(usize),
    Silence(usize),
    HearAll,
    Pause(u64),
    /// Leadership moves, and ledger time falls back against real time.
    MoveLeadership(u64),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Deadline,
    MaxWait,
    Try,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn limits() -> impl Strategy<Value = Limits> {
    let margins = prop_oneof![2 => Just(None), 1 => (5..60_u64, 0..20_u64).prop_map(Some)];
    let algorithm = prop_oneof![1 => Just(0), 1 => 1..Algorithm::ALL.len()];
    let limit = (1..9_u32, 20..2_000_u64, margins, prop::bool::weighted(0.25), algorithm);
    let limit = limit.prop_map(|(count, window, margins, tokens, algorithm)| {
        let (count, dimension) = if tokens { (count * 20, Dimension::Tokens) } else { (count, Dimension::Units) };
        let limit = RateLimit::new(count, ms(window)).unwrap().counting(dimension).by(Algorithm::ALL[algorithm]);
        margins.map_or(limit, |(d, g)| limit.with_delivery_bound(ms(d)).unwrap().with_guard(ms(g)).unwrap())
    });
    prop::collection::vec(limit, 1..4).prop_map(|limits| Limits::new(limits).unwrap())
}

/// Limits of half the counts: where they hold, the whole ones do.
fn halves(limits: &Limits) -> Limits {
    let halved = limits.iter().map(|limit| {
        let count = limit.request_count().get().div_ceil(2);
        let halved = RateLimit::new(count, limit.window()).unwrap().counting(limit.dimension()).by(limit.algorithm());
        halved.with_delivery_bound(limit.delivery_bound()).unwrap().with_guard(limit.guard()).unwrap()
    });
    Limits::new(halved).unwrap()
}

fn inputs() -> impl Strategy<Value = Vec<(u64, Input)>> {
    let kind = prop_oneof![Just(Kind::Deadline), Just(Kind::MaxWait), Just(Kind::Try)];
    let cost =
        (prop_oneof![4 => Just(1), 1 => 1..6_u64], 0..50_u64).prop_map(|(units, tokens)| Cost::of(units).with_tokens(tokens));
    let acquire = (0..4_u32, cost, prop::option::weighted(0.4, (kind, 0..3_000_u64)), any::<bool>(), prop::bool::weighted(0.1));
    let input = prop_oneof![
        14 => acquire.prop_map(|(niceness, cost, patience, retryable, halved)| {
            Input::Acquire { niceness, cost, patience, retryable, halved }
        }),
        2 => (0..6_usize).prop_map(Input::Retry),
        2 => (0..6_usize).prop_map(Input::Cancel),
        2 => (0..6_usize).prop_map(Input::Silence),
        1 => Just(Input::HearAll),
        1 => (1..500_u64).prop_map(Input::Pause),
        1 => (1..300_u64).prop_map(Input::MoveLeadership),
    ];
    let gap = prop_oneof![3 => Just(0), 3 => 0..20_u64, 1 => 0..1_000_u64];
    prop::collection::vec((gap, input), 1..40)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let loss =
        prop_oneof![8 => Just(Loss::Nothing), 1 => Just(Loss::Proposal), 1 => Just(Loss::Answer), 1 => Just(Loss::Repeated)];
    let delay = || prop_oneof![4 => 0..3_000_u64, 1 => 0..60_000_u64].prop_map(Duration::from_micros);
    let fate = (delay(), delay(), loss).prop_map(|(commit_after, answer_after, loss)| Fate { commit_after, answer_after, loss });
    prop::collection::vec(fate, 0..30)
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let after = prop_oneof![5 => 0..15_000_u64, 1 => 0..90_000_u64].prop_map(Duration::from_micros);
    let way = prop_oneof![Just(0), Just(1000), 0..1000_u32];
    let delivery = (after, way, prop::bool::weighted(0.1)).prop_map(|(after, way, unused)| Delivery { after, way, unused });
    prop::collection::vec(delivery, 0..40)
}

/// The first rolling window of `limit`, as the platform counts it, that holds more than it may.
pub(crate) fn overfull_window(starts: &[Start], limit: &RateLimit) -> Option<(Timestamp, u64)> {
    let mut arrivals: Vec<(Timestamp, u64)> =
        starts.iter().map(|start| (start.reached_at, start.cost.along(limit.dimension()))).collect();
    arrivals.sort_unstable();
    let (mut oldest, mut held) = (0, 0);
    for &(at, amount) in &arrivals {
        held += amount;
        while arrivals[oldest].0 + limit.window() <= at {
            held -= arrivals[oldest].1;
            oldest += 1;
        }
        if held > u64::from(limit.request_count().get()) {
            return Some((at, held));
        }
    }
    None
}

/// The first span, as the platform counts it, in which a bucket has let more through than its count and what came back.
fn overfull_span(starts: &[Start], limit: &RateLimit) -> Option<(Timestamp, u64)> {
    let (count, window) = (u128::from(limit.request_count().get()), limit.window().as_nanos());
    let mut arrivals: Vec<(Timestamp, u64)> =
        starts.iter().map(|start| (start.reached_at, start.cost.along(limit.dimension()))).collect();
    arrivals.sort_unstable();
    (0..arrivals.len()).find_map(|first| {
        let mut held = 0;
        arrivals[first..].iter().find_map(|&(at, amount)| {
            held += amount;
            let span = at.saturating_since(arrivals[first].0).as_nanos();
            (u128::from(held) * window > count * (window + span)).then_some((at, held))
        })
    })
}

/// Two releases of which the first went to one that had to let the second, which waited already, go before it.
fn inversion(released: &[Released]) -> Option<(Released, Released)> {
    let pairs = released.iter().flat_map(|a| released.iter().map(move |b| (*a, *b)));
    pairs.into_iter().find(|(a, b)| {
        let waited_then = b.waits_since < a.release && a.release < b.release;
        waited_then && (b.niceness, b.arrival) < (a.niceness, a.arrival)
    })
}

fn feed(world: &mut World, limits: &Limits, input: Input) {
    match input {
        Input::Acquire { niceness, cost, patience, retryable, halved } => {
            let patience = match patience {
                None => Patience::Endless,
                Some((Kind::Deadline, after)) => Patience::Deadline(world.now + ms(after)),
                Some((Kind::MaxWait, after)) => Patience::MaxWait(world.now + ms(after)),
                Some((Kind::Try, _)) => Patience::Never,
            };
            let limits = if halved { &halves(limits) } else { limits };
            let plain = world.plain(niceness, cost, limits, patience);
            world.acquire(Acquire { retryable, ..plain });
        }
        Input::Retry(back) => world.retry(back),
        Input::Cancel(back) => world.cancel(back),
        Input::Silence(back) => world.fall_silent(back),
        Input::HearAll => world.hear_all(),
        Input::Pause(millis) => world.pause(ms(millis)),
        Input::MoveLeadership(millis) => world.move_leadership(ms(millis)),
    }
}

proptest! {
    #![proptest_config(cases(CONNECTION_CASES))]

    #[test]
    fn no_limit_is_broken_nobody_overtakes_everyone_is_answered_once_and_no_slot_is_lost(
        limits in limits(),
        inputs in inputs(),
        fates in fates(),
        deliveries in deliveries(),
    ) {
        let mut world = World::new(&limits);
        world.fates.extend(fates);
        world.deliveries.extend(deliveries);
        for (gap, input) in inputs {
            world.run_until(world.now + ms(gap));
            feed(&mut world, &limits, input);
        }
        // Without those who are silent, and then with them.
        world.run_out();
        world.hear_all();
        world.run_out();

        for limit in &limits {
            let overfull = if limit.algorithm().is_bucket() { overfull_span } else { overfull_window };
            prop_assert_eq!(overfull(&world.starts, limit), None, "{:?}: {:?}", limit, &world.starts);
        }
        prop_assert!(inversion(&world.released).is_none(), "{:?}", inversion(&world.released));
        prop_assert!(world.answers.iter().all(|answers| *answers == 1), "answers {:?}", &world.answers);
        let started = world.starts.iter().fold(Cost::ZERO, |sum, start| sum.plus(start.cost));
        prop_assert_eq!(world.charged, started.plus(world.returned), "what was charged is used or goes back");
        let longest = limits.iter().map(|limit| limit.window()).max().unwrap();
        let is_counted = |start: &Start| limits.iter().any(|limit| start.cost.along(limit.dimension()) > 0);
        for (at, start) in world.starts.iter().enumerate().filter(|(_, start)| is_counted(start)) {
            let again = world.starts[..at].iter().find(|other| other.request == start.request);
            let is_once = again.is_none_or(|first| first.reached_at + longest <= start.reached_at);
            prop_assert!(is_once, "{:?} is started twice: {:?}", start, again);
        }

        // It has woken for the last time: so nothing is left of it.
        prop_assert!(world.is_idle());
        world.now = world.now + Duration::from_secs(60);
        world.apply(Command::Tick);
        prop_assert_eq!(world.ledger.tracked(), 0);
    }
}
