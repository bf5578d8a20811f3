//! I1 where it counts: what reaches the platform is within the limit in every window, or span, of real time. No clock of the cluster is asked.

use super::limit_at_ledger::overfull;
use crate::clock::Moment;
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.accounts.iter().find_map(|account| {
        // Where callers differ, what one states holds for others only while it was stated lately.
        let [limits] = account.connection.limits.as_slice() else { return None };
        let mut arrivals: Vec<(Moment, u64)> =
            account.started.iter().map(|started| (started.reaches_at, started.grant.cost.units)).collect();
        arrivals.sort_unstable();
        limits.iter().find_map(|limit| {
            let (begin, end) = overfull(&arrivals, limit)?;
            let of_it: Vec<_> = account.started.iter().filter(|started| (begin..=end).contains(&started.reaches_at)).collect();
            Some(format!("{}: over {limit} reached the platform from {begin} to {end}: {of_it:#?}", account.connection.key))
        })
    })
}
