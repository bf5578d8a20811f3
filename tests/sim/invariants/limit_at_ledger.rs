//! I1 in ledger time: whatever was charged and not given back, or let go, is within the limit in every window; and nothing is let go that the log has
//! not charged for whoever lets it go.

use std::time::Duration;

use turnstile::engine::rate::RateLimit;
use turnstile::engine::time::LedgerTime;

use crate::witness::Account;
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.accounts.iter().find_map(|account| uncharged(account).or_else(|| over(account)))
}

fn uncharged(account: &Account) -> Option<String> {
    let mut charged = account.charged.clone();
    account.released.iter().find_map(|released| {
        let of_it = charged.iter_mut().find(|charged| charged.owner == released.by && charged.charge == released.grant.charge);
        let Some(of_it) = of_it else { return Some(format!("{:?} was let go and never charged", released.grant)) };
        of_it.released = of_it.released.plus(released.grant.cost);
        // What came back may be let go once more, under another charge only.
        let fits = of_it.released.fits_in(of_it.cost);
        (!fits).then(|| format!("more was let go than charged: {of_it:?}"))
    })
}

fn over(account: &Account) -> Option<String> {
    let [limits] = account.connection.limits.as_slice() else { return None };
    limits.iter().find_map(|limit| {
        let kept: Vec<(LedgerTime, u64)> = account
            .charged
            .iter()
            .map(|charged| (charged.charge.stamp, charged.cost.minus(charged.returned.min(charged.cost)).units))
            .collect();
        overfull(&kept, limit).map(|at| format!("{}: over {limit:?} at {at:?} in ledger time", account.connection.key))
    })
}

fn overfull(charges: &[(LedgerTime, u64)], limit: &RateLimit) -> Option<LedgerTime> {
    let window: Duration = limit.window();
    let count = u64::from(limit.request_count().get());
    charges.iter().find_map(|(at, _)| {
        let held: u64 = charges.iter().filter(|(other, _)| other <= at && *other + window > *at).map(|(_, units)| units).sum();
        (held > count).then_some(*at)
    })
}
