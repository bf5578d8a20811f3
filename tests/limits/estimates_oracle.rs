//! Which estimates may be reconciled, kept by someone who only reads the log.
//!
//! *Open*: a charge of a connection that has a limit on tokens in force, until the longest of their spans has passed since it counted. Its permits share what was charged, less what was given
//! back; each is closed by its first reconcile.

use std::collections::BTreeSet;
use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::Charge;
use turnstile::engine::ledger::{Adjusted, PermitId, Reconcile};
use turnstile::engine::rate::RateLimit;
use turnstile::engine::time::LedgerTime;

#[derive(Debug)]
struct Estimate {
    charge: Charge,
    until: LedgerTime,
    left: Cost,
}

#[derive(Debug, Default)]
pub(crate) struct Estimates {
    open: Vec<Estimate>,
    closed: BTreeSet<(LedgerTime, Duration, PermitId)>,
}

impl Estimates {
    pub(crate) fn charged<'a>(&mut self, charge: Charge, cost: Cost, in_force: impl Iterator<Item = &'a RateLimit>) {
        let longest = in_force.filter(|limit| limit.dimension().is_estimated()).map(RateLimit::span).max();
        let Some(longest) = longest else { return };
        match self.open.iter_mut().find(|open| open.charge == charge) {
            Some(open) => open.left = open.left.plus(cost),
            None => self.open.push(Estimate { charge, until: charge.counted_from() + longest, left: cost }),
        }
    }

    pub(crate) fn given_back(&mut self, charge: Charge, cost: Cost) {
        self.open.iter_mut().filter(|open| open.charge == charge).for_each(|open| open.left = open.left.minus(cost));
    }

    /// Whether this permit was reconciled.
    pub(crate) fn is_closed(&self, charge: Charge, permit: PermitId) -> bool {
        self.closed.contains(&(charge.stamp, charge.delivery, permit))
    }

    /// What came back and what is owed, if this answer is the right one and says so.
    pub(crate) fn judge(&mut self, reconcile: &Reconcile, adjusted: &Adjusted, now: LedgerTime) -> Option<(Cost, Cost)> {
        let Reconcile { permit, charge, estimate, actual } = *reconcile;
        let open = self.open.iter_mut().find(|open| open.charge == charge && open.until > now);
        let Some(open) = open else {
            assert_eq!(*adjusted, Adjusted::Unknown, "no such charge is open");
            return None;
        };
        if self.closed.contains(&(charge.stamp, charge.delivery, permit)) {
            assert_eq!(*adjusted, Adjusted::Known);
            return None;
        }
        if estimate == Cost::ZERO || !estimate.fits_in(open.left) {
            assert_eq!(*adjusted, Adjusted::Unknown, "{estimate:?} of {open:?}");
            return None;
        }
        open.left = open.left.minus(estimate);
        self.closed.insert((charge.stamp, charge.delivery, permit));
        let Adjusted::Reconciled { charge: of, refunded, owed } = *adjusted else {
            panic!("{reconcile:?} is not answered by {adjusted:?}");
        };
        let taken = Cost { units: estimate.units, ..actual };
        assert_eq!((of, owed), (charge, taken.minus(estimate)));
        assert!(refunded.fits_in(estimate.minus(taken)), "{refunded:?} for {reconcile:?}");
        Some((refunded, owed))
    }
}
