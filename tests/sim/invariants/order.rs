//! I3: within a niceness, first come first served, by the owner's own numbers.

use super::priority::{passed_over, told};
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.accounts.iter().find_map(|account| {
        let pair = passed_over(&account.released, |waiter, other| {
            waiter.grant.niceness == other.grant.niceness && waiter.grant.arrival < other.grant.arrival
        })?;
        Some(told(account, pair))
    })
}
