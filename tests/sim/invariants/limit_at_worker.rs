//! I1 where it counts: what reaches the platform is within the limit in every window of real time. No clock of the cluster is asked.

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
            let (window, count) = (Moment::try_from(limit.window().as_nanos()).unwrap(), u64::from(limit.request_count().get()));
            arrivals.iter().find_map(|&(at, _)| {
                let held: u64 =
                    arrivals.iter().filter(|&&(other, _)| other <= at && other + window > at).map(|(_, units)| units).sum();
                (held > count).then(|| {
                    let of_it: Vec<_> = account
                        .started
                        .iter()
                        .filter(|started| started.reaches_at <= at && started.reaches_at + window > at)
                        .collect();
                    format!(
                        "{}: {held} reached the platform within {:?} before {at}: {of_it:#?}",
                        account.connection.key,
                        limit.window()
                    )
                })
            })
        })
    })
}
