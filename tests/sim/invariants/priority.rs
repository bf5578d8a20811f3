//! I2: nobody is let go while somebody of lower niceness waits at the owner, by the owner's own numbers.

use crate::witness::{Account, Released};
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.accounts.iter().find_map(|account| {
        let pair = passed_over(&account.released, |waiter, other| waiter.grant.niceness < other.grant.niceness)?;
        Some(told(account, pair))
    })
}

/// Somebody who waited, and was to go before another who was let go then.
pub fn passed_over(released: &[Released], goes_before: impl Fn(&Released, &Released) -> bool) -> Option<(&Released, &Released)> {
    released.iter().find_map(|waiter| {
        let passing = released.iter().find(|other| {
            let at = other.grant.release.get();
            let waited = waiter.grant.waits_since.get() < at && at < waiter.grant.release.get();
            other.grant.tenure == waiter.grant.tenure && waited && goes_before(waiter, other)
        });
        passing.map(|other| (waiter, other))
    })
}

/// Who was let go before whom.
pub fn told(account: &Account, (waiter, other): (&Released, &Released)) -> String {
    let (key, passed, passes) = (&account.connection.key, waiter.request, other.request);
    format!("{key}: {passes:?} by {:?} before {passed:?} by {:?}", other.grant, waiter.grant)
}
