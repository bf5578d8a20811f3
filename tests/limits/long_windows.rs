//! An hour and a day on a virtual clock: nothing is lost but the margins, and the limit holds.

use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::rate::{Limits, RateLimit};
use turnstile::engine::throttle::Patience;

use crate::connection::overfull_window;
use crate::fate::{Fate, Loss};
use crate::world::World;

/// So many wait at any time that the limit is what holds them back.
const BACKLOG: usize = 2_000;

const MS: Duration = Duration::from_millis(1);

/// The share of the limit that was used over `periods` of W + d + g, in millionths, and the share that the margins leave.
fn saturated(limit: RateLimit, periods: u32) -> (u128, u128) {
    let limits = Limits::new([limit]).unwrap();
    let counted = limit.span() + limit.delivery_bound();
    let mut world = World::new(&limits);
    let began_at = world.now;
    let ends_at = began_at + counted * periods;
    while world.now < ends_at {
        for _ in world.throttle.queue().len()..BACKLOG {
            world.acquire(world.plain(5, Cost::ONE, &limits, Patience::Endless));
        }
        world.fates.push_back(Fate { commit_after: MS / 2, answer_after: MS / 2, loss: Loss::Nothing });
        world.step();
    }
    world.starts.retain(|start| start.reached_at < ends_at);
    assert_eq!(overfull_window(&world.starts, &limit), None);
    let starts = u128::try_from(world.starts.len()).unwrap();
    let allowed = u128::from(limit.request_count().get()) * (counted * periods).as_nanos();
    let used = starts * limit.window().as_nanos() * 1_000_000 / allowed;
    (used, limit.window().as_nanos() * 1_000_000 / counted.as_nanos())
}

fn assert_utilisation(count: u32, window: Duration) {
    let limit = RateLimit::new(count, window).unwrap();
    let (used, possible) = saturated(limit, 4);
    assert!(used.abs_diff(possible) <= 1_000, "{count} per {window:?}: {used} of {possible} millionths");
}

#[test]
fn a_saturated_hour_of_5000_uses_all_but_its_margin_and_never_breaks_its_window() {
    assert_utilisation(5_000, Duration::from_secs(3_600));
}

#[test]
fn a_saturated_day_of_15000_uses_all_but_its_margin_and_never_breaks_its_window() {
    assert_utilisation(15_000, Duration::from_secs(86_400));
}
