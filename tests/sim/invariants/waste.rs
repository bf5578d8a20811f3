//! I6: what was charged and neither started nor given back is bounded: nothing while owners stay owners, and at most a window's worth for each thing
//! that went wrong.

use crate::scenario::Severity;
use crate::witness::{Account, Charged, Released};
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.accounts.iter().find_map(|account| {
        let sum = |units: fn(&Charged) -> u64| account.charged.iter().map(units).sum::<u64>();
        let (charged, returned) = (sum(|one| one.cost.units), sum(|one| one.returned.units));
        let started: u64 = account.started.iter().map(|one| one.grant.cost.units).sum();
        let key = &account.connection.key;
        let Some(wasted) = charged.checked_sub(returned + started) else {
            return Some(format!("{key}: {charged} charged, {returned} given back, and yet {started} started"));
        };
        let bound = match world.scenario.severity {
            Severity::Lossy => account.connection.units * moves(world, account),
            Severity::Rough => (account.connection.units + 1) * world.witness.disruptions,
        };
        (wasted > bound).then(|| {
            let used = |charge| {
                account.started.iter().filter(move |one| one.grant.charge == charge).map(|one| one.grant.cost.units).sum::<u64>()
            };
            let lost = |one: &&Charged| one.cost.units > one.returned.units + used(one.charge);
            let lost: Vec<&Charged> = account.charged.iter().filter(lost).collect();
            let is_lost = |released: &&Released| lost.iter().any(|one| one.charge == released.grant.charge);
            let released: Vec<&Released> = account.released.iter().filter(is_lost).collect();
            format!("{key}: {wasted} of {charged} charged were wasted, the bound is {bound}: {lost:?}, released: {released:?}")
        })
    })
}

/// How often the ring has moved since something was charged: who leaves takes what it had charged for somebody who went away.
fn moves(world: &World, account: &Account) -> u64 {
    let first = account.charged.first().map(|charged| charged.charge.stamp);
    let later = world.witness.moves.values().filter(|at| first.is_some_and(|first| **at >= first));
    u64::try_from(later.count()).unwrap()
}
