//! A permit by name: what any node needs to take its slot back, or to count what its call has taken.

#[cfg(feature = "cli")]
use super::Throttler;
use super::{AcquireError, Permit, ReconcileError, Reconciled};
use crate::engine::cost::Cost;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Adjusted, Adjustment, PermitId, Reconcile, Release};
use crate::router::Router;

/// A permit that its holder names instead of holding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Of which connection.
    pub key: ConnectionKey,
    /// Which slot.
    pub slot: Release,
}

impl Permit {
    /// Its name.
    pub(crate) fn claim(&self) -> Claim {
        let (slot, _) = self.parts();
        let grant = slot.grant();
        let permit = PermitId { tenure: grant.tenure, release: grant.release };
        let slot_of = Release { permit, request: slot.request(), charge: grant.charge, cost: grant.cost };
        Claim { key: slot.key().clone(), slot: slot_of }
    }
}

impl Claim {
    /// Says what its call has taken.
    pub(super) async fn reconcile(&self, router: &Router, actual: Cost) -> Result<Reconciled, ReconcileError> {
        let Release { permit, charge, cost: estimate, .. } = self.slot;
        let reconcile = Reconcile { permit, charge, estimate, actual };
        match router.adjust(&self.key, Adjustment::Reconcile(reconcile)).await.map_err(AcquireError::from)? {
            Adjusted::Reconciled { refunded, owed, .. } => Ok(Reconciled { refunded, owed }),
            // Its first answer was lost on the way.
            Adjusted::Known => Ok(Reconciled { refunded: estimate.minus(actual), owed: actual.minus(estimate) }),
            Adjusted::Unknown | Adjusted::Paused { .. } | Adjusted::Resumed | Adjusted::Released { .. } => {
                Err(ReconcileError::NotOpen)
            }
        }
    }
}

#[cfg(feature = "cli")]
impl Throttler {
    /// Says what a call has taken whose permit is not held here.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub(crate) async fn reconcile(&self, claim: &Claim, actual: Cost) -> Result<Reconciled, ReconcileError> {
        claim.reconcile(self.router(), actual).await
    }

    /// Takes a slot back whose permit is not held here; says whether it was open. The same again is answered alike, and changes nothing.
    ///
    /// # Errors
    /// [`AcquireError`], as for a pause.
    pub(crate) async fn release(&self, claim: &Claim) -> Result<bool, AcquireError> {
        match self.router().adjust(&claim.key, Adjustment::Release(claim.slot)).await? {
            Adjusted::Released { .. } | Adjusted::Known => Ok(true),
            Adjusted::Unknown | Adjusted::Reconciled { .. } | Adjusted::Paused { .. } | Adjusted::Resumed => Ok(false),
        }
    }
}
