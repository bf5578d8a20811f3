//! Estimates that were charged and may still be reconciled: by charge, until its windows have passed.
//!
//! Promises: the first reconcile of a permit counts, however often it arrives and whoever passes it on; together no more is reconciled than was charged.
//! Must not: know who holds a permit. Whoever names its charge and its number does.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::command::{Adjusted, PermitId, Reconcile};
use crate::engine::cost::Cost;
use crate::engine::grant::Charge;
use crate::engine::time::LedgerTime;

/// The most charges of one connection that are kept. The estimates of older ones stand.
pub(super) const MAX_OPEN: usize = 1024;

/// One charge, and whose permits of it are closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    charge: Charge,
    until: LedgerTime,
    /// What of it is with permits that have not been reconciled, or was never let go.
    left: Cost,
    reconciled: BTreeSet<PermitId>,
}

/// In the order in which they were charged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenPermits(VecDeque<Open>);

impl OpenPermits {
    /// Notes what was charged, to be kept until then.
    pub(super) fn open(&mut self, charge: Charge, cost: Cost, until: LedgerTime) {
        while self.0.front().is_some_and(|open| open.until <= charge.stamp) || self.0.len() >= MAX_OPEN {
            self.0.pop_front();
        }
        // Charges of one entry may share a name, with others between them.
        let mut of_its_entry = self.0.iter_mut().rev().take_while(|open| open.charge.stamp == charge.stamp);
        match of_its_entry.find(|open| open.charge == charge) {
            Some(open) => open.left = open.left.plus(cost),
            None => self.0.push_back(Open { charge, until, left: cost, reconciled: BTreeSet::new() }),
        }
    }

    /// What of a charge was never let go is nobody's estimate.
    pub(super) fn give_back(&mut self, charge: Charge, cost: Cost) {
        if let Some(open) = self.find(charge) {
            open.left = open.left.minus(cost);
        }
    }

    /// Closes a permit at `now`, if it is open.
    ///
    /// # Errors
    /// What it is else: [`Adjusted::Known`] or [`Adjusted::Unknown`].
    pub(super) fn close(&mut self, reconcile: &Reconcile, now: LedgerTime) -> Result<(), Adjusted> {
        let open = self.find(reconcile.charge).filter(|open| open.until > now).ok_or(Adjusted::Unknown)?;
        if open.reconciled.contains(&reconcile.permit) {
            return Err(Adjusted::Known);
        }
        if reconcile.estimate == Cost::ZERO || !reconcile.estimate.fits_in(open.left) {
            return Err(Adjusted::Unknown);
        }
        open.left = open.left.minus(reconcile.estimate);
        open.reconciled.insert(reconcile.permit);
        Ok(())
    }

    /// Whether what a permit of this charge has taken was said.
    pub(super) fn is_reconciled(&self, charge: Charge, permit: PermitId) -> bool {
        self.0.iter().any(|open| open.charge == charge && open.reconciled.contains(&permit))
    }

    /// When the last of them is closed; the origin when none is open.
    pub(super) fn close_at(&self) -> LedgerTime {
        self.0.iter().map(|open| open.until).fold(LedgerTime::ZERO, LedgerTime::max)
    }

    fn find(&mut self, charge: Charge) -> Option<&mut Open> {
        // The latest are asked for most.
        self.0.iter_mut().rev().find(|open| open.charge == charge)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::grant::{ReleaseNumber, Tenure};

    #[test]
    fn charges_of_one_name_are_one_whatever_was_charged_between_them() {
        let charge = |delivery| Charge { stamp: LedgerTime::from_nanos(1), delivery: Duration::from_millis(delivery) };
        let (until, tokens) = (LedgerTime::from_nanos(10), |tokens| Cost::ZERO.with_tokens(tokens));
        let mut permits = OpenPermits::default();
        for (delivery, cost) in [(1, tokens(5)), (2, Cost::ZERO), (1, Cost::ZERO)] {
            permits.open(charge(delivery), cost, until);
        }
        let permit = PermitId { tenure: Tenure::new(1), release: ReleaseNumber::from_wire(1) };
        let reconcile = Reconcile { permit, charge: charge(1), estimate: tokens(5), actual: tokens(1) };
        assert_eq!(permits.close(&reconcile, LedgerTime::from_nanos(2)), Ok(()));
        assert_eq!(permits.close(&reconcile, LedgerTime::from_nanos(2)), Err(Adjusted::Known));
    }
}
