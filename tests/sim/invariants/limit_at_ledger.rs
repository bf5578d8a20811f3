//! I1 in ledger time: whatever was charged and not given back, or let go, is within the limit in every window; and nothing is let go that the log has
//! not charged for whoever lets it go.

use turnstile::engine::rate::RateLimit;

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
    let mut kept: Vec<(u64, u64)> = account
        .charged
        .iter()
        .map(|charged| (charged.charge.stamp.as_nanos(), charged.cost.minus(charged.returned.min(charged.cost)).units))
        .collect();
    kept.sort_unstable();
    limits.iter().find_map(|limit| {
        overfull(&kept, limit).map(|(_, at)| format!("{}: over {limit} at {at} ns of ledger time", account.connection.key))
    })
}

/// The first span, from one of these moments (in nanoseconds, in order) to another, in which there are more units than a limit allows, as its
/// algorithm counts: in any window its count, and in any span of a bucket its count and what comes back in that time.
pub(super) fn overfull(units: &[(u64, u64)], limit: &RateLimit) -> Option<(u64, u64)> {
    let (count, window) = (u128::from(limit.request_count().get()), limit.window().as_nanos());
    units.iter().enumerate().find_map(|(first, &(begin, _))| {
        let mut held = 0;
        units.get(first..)?.iter().find_map(|&(at, units)| {
            held += u128::from(units);
            let span = u128::from(at - begin);
            let is_over = if limit.algorithm().is_bucket() {
                held * window > count * (window + span)
            } else {
                span < window && held > count
            };
            is_over.then_some((begin, at))
        })
    })
}
