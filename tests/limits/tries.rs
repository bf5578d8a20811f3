//! The call that doesn't wait, from several callers at once.

use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::rate::{Limits, RateLimit};
use turnstile::engine::throttle::Patience;

use crate::connection::overfull_window;
use crate::fate::{Fate, Loss};
use crate::world::World;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn of_callers_that_try_all_the_time_one_starts_per_window_and_the_next_as_soon_as_the_margin_allows() {
    let limit = RateLimit::new(1, Duration::from_secs(2)).unwrap();
    let limits = Limits::new([limit]).unwrap();
    let mut world = World::new(&limits);
    // Four callers, each with its own rhythm: at most 7 ms pass between two calls of any.
    for call in 0_u64..40_000 {
        for rhythm in [7, 11, 13, 29] {
            if call % rhythm == 0 {
                world.fates.push_back(Fate { commit_after: ms(1), answer_after: ms(1), loss: Loss::Nothing });
                world.acquire(world.plain(0, Cost::ONE, &limits, Patience::Never));
            }
        }
        world.run_until(world.now + ms(1));
    }
    world.run_out();
    assert_eq!(overfull_window(&world.starts, &limit), None);
    let most = limit.span() + limit.delivery_bound() + ms(7 + 2);
    for pair in world.starts.windows(2) {
        let gap = pair[1].reached_at.saturating_since(pair[0].reached_at);
        assert!((limit.window()..=most).contains(&gap), "{gap:?} between two starts");
    }
    assert_eq!(world.starts.len(), 20);
    assert!(world.answers.iter().all(|answers| *answers == 1));
}
