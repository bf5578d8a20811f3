//! What changes for a connection, for nobody who waits: pauses, what calls have taken, slots that come back by name, and limits that an operator has set. Those rule over what callers say.

use super::{Effect, Now, Throttle};
use crate::engine::cost::Cost;
use crate::engine::ledger::Adjusted;
use crate::engine::rate::Limits;
use crate::engine::time::LedgerTime;

impl<T> Throttle<T> {
    /// Notes what the ledger has changed at `stamp`, for nobody who waits.
    pub fn adjusted(&mut self, stamp: LedgerTime, adjusted: &Adjusted) {
        match *adjusted {
            Adjusted::Paused { until } => self.limiter.pause(until),
            Adjusted::Resumed => {
                self.limiter.resume();
                self.not_before = stamp;
            }
            Adjusted::Released { request, charge, refunded } => {
                self.remembered.remove(request);
                self.limiter.refund(charge, refunded);
                self.not_before = stamp;
            }
            Adjusted::Reconciled { charge, refunded, owed } => {
                self.limiter.refund(charge, refunded);
                self.limiter.owe(stamp, owed);
                if refunded != Cost::ZERO {
                    // There may be room where the ledger said that there was none.
                    self.not_before = stamp;
                }
            }
            Adjusted::Known | Adjusted::Unknown => {}
        }
    }

    /// The same connection, ruled by these limits, or by what its callers say.
    #[must_use]
    pub fn ruled_by(self, policy: Option<Limits>) -> Self {
        Self { policy, ..self }
    }

    /// What rules it beside its callers' word.
    #[must_use]
    pub const fn policy(&self) -> Option<&Limits> {
        self.policy.as_ref()
    }

    /// These limits rule from now on, or what callers say; who waits keeps its place, and who can never fit is refused. Call [`Throttle::poll`] next.
    pub fn rule(&mut self, now: Now, policy: Option<Limits>, effects: &mut Vec<Effect<T>>) {
        self.policy = policy;
        if let Some(policy) = &self.policy {
            self.limiter.impose(policy, now.ledger);
            self.refuse_those_who_never_fit(effects);
        }
        // What the ledger has said was said by other limits.
        self.not_before = LedgerTime::ZERO;
    }

    /// The limits that rule over one whose caller says these.
    pub(super) fn ruling<'a>(&'a self, stated: &'a Limits) -> &'a Limits {
        self.policy.as_ref().unwrap_or(stated)
    }

    /// Notes in the mirror by which limits a caller asks.
    pub(super) fn state(&mut self, limits: &Limits, now: LedgerTime) -> Result<(), LedgerTime> {
        match &self.policy {
            Some(policy) => {
                self.limiter.impose(policy, now);
                Ok(())
            }
            None => self.limiter.state(limits, now),
        }
    }

    /// A cost, estimated where limits count what its caller did not know of.
    pub(super) fn estimate(&self, cost: Cost) -> Cost {
        self.policy.as_ref().map_or(cost, |policy| policy.estimate(cost))
    }
}
