//! What the ledger keeps of one connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::{Adjusted, Adjustment, Ask, Reconcile, Release, Return, Verdict};
use super::given_back::GivenBack;
use super::hold::Hold;
use super::open_permits::OpenPermits;
use crate::engine::cost::{Cost, Dimension};
use crate::engine::grant::{Charge, Incarnation};
use crate::engine::limiter::{Limiter, Room};
use crate::engine::rate::Limits;
use crate::engine::time::LedgerTime;

/// How long the ledger asks an owner to wait whose limits it cannot take at all.
const RETRY_AFTER_NEVER: Duration = Duration::from_secs(1);

/// What the ledger keeps of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) limiter: Limiter,
    /// Who charged last, and since when without another in between: who may return what.
    pub(super) charger: Option<(Incarnation, LedgerTime)>,
    /// Estimates of calls that may still say what they have taken.
    pub(super) open_permits: OpenPermits,
    given_back: GivenBack,
    /// Where the account stands in the order of expiry: at, or before, the time when it can be forgotten.
    pub(super) listed_at: LedgerTime,
}

impl Account {
    /// Charges what the ask wants and every limit has room for, when nothing holds the connection back. A policy rules over the limits of the ask.
    pub(super) fn charge(
        &mut self,
        owner: Incarnation,
        ask: &Ask,
        policy: Option<&Limits>,
        stamp: LedgerTime,
        hold: Option<Hold>,
    ) -> Verdict {
        match policy {
            Some(policy) => self.limiter.impose(policy, stamp),
            None => {
                if let Err(at) = self.limiter.state(&ask.limits, stamp) {
                    return Verdict::NotBefore { stamp, at };
                }
            }
        }
        if let Some(hold) = hold {
            self.limiter.pause(hold.until(self.limiter.limits()));
        }
        match self.limiter.check(stamp, ask.least) {
            Room::Ready => {}
            Room::NotBefore(at) => return Verdict::NotBefore { stamp, at },
            Room::Never => {
                return Verdict::NotBefore { stamp, at: stamp + RETRY_AFTER_NEVER };
            }
        }
        let cost = ask.most.min(self.limiter.room(stamp));
        let charge = Charge { stamp, delivery: ask.delivery };
        self.limiter.charge(charge, cost);
        if let Some(until) = self.limiter.estimates_until(charge) {
            self.open_permits.open(charge, cost, until);
        }
        if self.charger.is_none_or(|(charger, _)| charger != owner) {
            self.charger = Some((owner, stamp));
        }
        Verdict::Charged { stamp, cost }
    }

    /// Takes slots back, if this owner charged them and nobody else has charged since.
    pub(super) fn give_back(&mut self, owner: Incarnation, given_back: &Return) {
        let may = self.charger.is_some_and(|(charger, since)| charger == owner && since <= given_back.charge.stamp);
        if may && given_back.cost != Cost::ZERO {
            self.limiter.refund(given_back.charge, given_back.cost);
            self.open_permits.give_back(given_back.charge, given_back.cost);
        }
    }

    /// Whoever owns the connection passes it on; whose it is does not matter.
    pub(super) fn adjust(&mut self, adjustment: &Adjustment, stamp: LedgerTime) -> Adjusted {
        match adjustment {
            Adjustment::Penalize(pause) => self.pause(stamp + *pause),
            Adjustment::Pause => self.pause(LedgerTime::END),
            Adjustment::Resume => {
                self.limiter.resume();
                Adjusted::Resumed
            }
            Adjustment::Release(release) => self.release(release, stamp),
            Adjustment::Reconcile(reconcile) if self.given_back.has(reconcile.permit) => Adjusted::Unknown,
            Adjustment::Reconcile(reconcile) => match self.open_permits.close(reconcile, stamp) {
                Ok(()) => {
                    let Reconcile { charge, estimate, actual, .. } = *reconcile;
                    // A call is a call, whatever it has taken.
                    let actual = actual.with(Dimension::Units, estimate.units);
                    let refunded = self.limiter.refund(charge, estimate.minus(actual));
                    let owed = actual.minus(estimate);
                    self.limiter.owe(stamp, owed);
                    Adjusted::Reconciled { charge, refunded, owed }
                }
                Err(refused) => refused,
            },
        }
    }

    fn pause(&mut self, until: LedgerTime) -> Adjusted {
        self.limiter.pause(until);
        Adjusted::Paused { until }
    }

    /// Takes a slot back by its permit's name, while its charge counts.
    fn release(&mut self, release: &Release, stamp: LedgerTime) -> Adjusted {
        let Release { permit, request, charge, cost } = *release;
        if self.given_back.has(permit) {
            return Adjusted::Known;
        }
        let until = self.limiter.counts_until(charge);
        let is_over = until <= stamp || self.open_permits.is_reconciled(charge, permit);
        if is_over || !self.given_back.has_room(stamp) {
            return Adjusted::Unknown;
        }
        let refunded = self.limiter.refund(charge, cost);
        if refunded == Cost::ZERO {
            return Adjusted::Unknown;
        }
        self.given_back.note(permit, until);
        self.open_permits.give_back(charge, cost);
        Adjusted::Released { request, charge, refunded }
    }

    /// When nothing of the connection has to be remembered any more.
    pub(super) fn forgotten_at(&self) -> LedgerTime {
        self.limiter.forgotten_at().max(self.open_permits.close_at())
    }
}
