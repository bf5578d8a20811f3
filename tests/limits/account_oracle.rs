//! One connection, as the oracle of the ledger keeps it: see `ledger_oracle` for what its words mean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use turnstile::engine::cost::{Cost, Dimension};
use turnstile::engine::grant::{Charge, Incarnation};
use turnstile::engine::ledger::{Adjusted, Ask, PermitId, Reconcile, Release, Return, Verdict};
use turnstile::engine::rate::{Limits, MAX_LIMITS, RateLimit};
use turnstile::engine::time::LedgerTime;

use crate::estimates_oracle::Estimates;

/// A charge, and what of it was not returned.
#[derive(Debug, Clone, Copy)]
struct Charged {
    /// `None` for what calls have taken beyond their estimates.
    owner: Option<Incarnation>,
    charge: Charge,
    left: Cost,
}

impl Charged {
    fn leaves(&self, limit: &RateLimit) -> LedgerTime {
        self.charge.counted_from() + limit.span()
    }

    /// The latest moment at which it may have arrived, in nanoseconds.
    fn arrives_by(&self, limit: &RateLimit) -> u128 {
        u128::from((self.charge.counted_from() + limit.guard()).as_nanos())
    }
}

/// What of some charges has not leaked at `now`, in units times the window's nanoseconds: since any moment at which one may have arrived last, what has
/// arrived then or later, less what has leaked. Those before `own` were inherited: of them a bucket is no more than full when the last has arrived.
fn level(charges: &[Charged], own: usize, limit: &RateLimit, now: LedgerTime) -> u128 {
    let (count, window) = (u128::from(limit.request_count().get()), limit.window().as_nanos());
    let (inherited, own) = charges.split_at(own);
    let arrived = inherited.iter().filter(|charged| charged.left.along(limit.dimension()) > 0);
    let last = arrived.map(|charged| charged.arrives_by(limit)).max().unwrap_or(0);
    let since = charges.iter().map(|first| {
        let begin = first.arrives_by(limit);
        let within = |charges: &[Charged]| -> u128 {
            let within = charges.iter().filter(|charged| charged.arrives_by(limit) >= begin);
            within.map(|charged| u128::from(charged.left.along(limit.dimension())) * window).sum()
        };
        let full = last.saturating_sub(begin) * count + count * window;
        let arrived = within(inherited).min(full) + within(own);
        arrived.saturating_sub(u128::from(now.as_nanos()).saturating_sub(begin) * count)
    });
    since.max().unwrap_or(0)
}

/// Whether a bucket that inherits these charges is more than full when the last of them has arrived.
fn has_overflowed(inherited: &[Charged], limit: &RateLimit) -> bool {
    let last = inherited.iter().map(|charged| charged.charge.counted_from() + limit.guard()).max().unwrap_or_default();
    level(inherited, 0, limit, last) > u128::from(limit.request_count().get()) * limit.window().as_nanos()
}

/// A limit, and which of the charges count for it.
#[derive(Debug)]
struct Rule {
    stated_at: LedgerTime,
    counts: Vec<usize>,
    /// How many of them were made before it was stated.
    inherited: usize,
}

impl Rule {
    fn is_in_force(&self, limit: &RateLimit, now: LedgerTime) -> bool {
        self.stated_at + limit.span() > now
    }
}

#[derive(Debug, Default)]
pub(crate) struct Connection {
    charges: Vec<Charged>,
    rules: BTreeMap<RateLimit, Rule>,
    paused_until: LedgerTime,
    estimates: Estimates,
    /// Permits that were given back by name.
    released: BTreeSet<PermitId>,
}

impl Connection {
    pub(crate) fn give_back(&mut self, owner: Incarnation, given_back: &Return) {
        let mine = self
            .charges
            .iter()
            .rposition(|charged| charged.owner.is_some_and(|other| other != owner))
            .map_or(0, |other| other + 1);
        let Some(own) = self.charges.get_mut(mine..) else { return };
        let mut cost = given_back.cost;
        let is_it = |charged: &&mut Charged| charged.owner.is_some() && charged.charge == given_back.charge;
        if own.iter_mut().any(|charged| is_it(&charged)) {
            self.estimates.given_back(given_back.charge, given_back.cost);
        }
        for charged in own.iter_mut().rev().filter(is_it) {
            let taken = cost.min(charged.left);
            (charged.left, cost) = (charged.left.minus(taken), cost.minus(taken));
        }
    }

    /// Nothing is let through before that moment.
    pub(crate) fn pause(&mut self, until: LedgerTime) {
        self.paused_until = self.paused_until.max(until);
    }

    pub(crate) fn resume(&mut self) {
        self.paused_until = LedgerTime::ZERO;
    }

    pub(crate) fn is_paused_for_good(&self) -> bool {
        self.paused_until == LedgerTime::END
    }

    pub(crate) fn release(&mut self, release: &Release, adjusted: &Adjusted, now: LedgerTime) {
        let Release { permit, request, charge, cost } = *release;
        let is_it = |charged: &&Charged| charged.owner.is_some() && charged.charge == charge;
        // Surely there is something to give back where a window has counted it itself; a bucket may have let it leak.
        let counts = |(limit, rule): (&RateLimit, &Rule)| {
            let along = |cost: Cost| cost.along(limit.dimension());
            let own = rule.counts[rule.inherited..].iter().map(|charge| &self.charges[*charge]);
            let is_left = own.clone().any(|charged| is_it(&charged) && along(charged.left) > 0);
            // Of charges that count from the same moment by chance one keeps its name; a large window knows moments roughly only.
            let from = charge.counted_from();
            let is_alone = rule
                .counts
                .iter()
                .map(|other| &self.charges[*other].charge)
                .all(|other| *other == charge || other.counted_from() != from);
            let is_small = limit.request_count().get() <= 1024;
            let is_window = !limit.algorithm().is_bucket() && rule.is_in_force(limit, now) && is_alone && is_small;
            is_window && is_left && along(cost) > 0 && charge.counted_from() + limit.span() > now
        };
        let counts = self.rules.iter().any(counts);
        match *adjusted {
            Adjusted::Released { request: of, charge: from, mut refunded } => {
                assert_eq!((of, from), (request, charge));
                assert!(self.released.insert(permit), "given back twice");
                assert!(!self.estimates.is_closed(charge, permit), "given back after it was reconciled");
                assert!(refunded != Cost::ZERO && refunded.fits_in(cost));
                self.estimates.given_back(charge, cost);
                for charged in self.charges.iter_mut().rev().filter(|charged| is_it(&&**charged)) {
                    let taken = refunded.min(charged.left);
                    (charged.left, refunded) = (charged.left.minus(taken), refunded.minus(taken));
                }
                assert_eq!(refunded, Cost::ZERO, "more came back than was left");
            }
            Adjusted::Known => assert!(self.released.contains(&permit)),
            Adjusted::Unknown => {
                assert!(!counts || self.estimates.is_closed(charge, permit), "{release:?} counts, and was not given back");
            }
            ref other => panic!("a release is not answered by {other:?}"),
        }
    }

    pub(crate) fn reconcile(&mut self, reconcile: &Reconcile, adjusted: &Adjusted, now: LedgerTime) {
        if self.released.contains(&reconcile.permit) {
            return assert_eq!(*adjusted, Adjusted::Unknown, "it was given back");
        }
        let Some((mut refunded, owed)) = self.estimates.judge(reconcile, adjusted, now) else { return };
        for charged in
            self.charges.iter_mut().rev().filter(|charged| charged.owner.is_some() && charged.charge == reconcile.charge)
        {
            let taken = refunded.min(charged.left);
            (charged.left, refunded) = (charged.left.minus(taken), refunded.minus(taken));
        }
        assert_eq!(refunded, Cost::ZERO, "more came back than was left");
        if owed != Cost::ZERO {
            self.charges.push(Charged { owner: None, charge: Charge { stamp: now, delivery: Duration::ZERO }, left: owed });
            let debt = self.charges.len() - 1;
            self.rules.values_mut().for_each(|rule| rule.counts.push(debt));
        }
    }

    pub(crate) fn judge(
        &mut self,
        owner: Incarnation,
        ask: &Ask,
        policy: Option<&Limits>,
        verdict: &Verdict,
        now: LedgerTime,
        hold: Option<(LedgerTime, Duration)>,
    ) {
        if self.state(policy.unwrap_or(&ask.limits), policy.is_some(), now) {
            if let Some((since, at_most)) = hold {
                let longest = self.rules.keys().map(|limit| limit.delivery_bound() + limit.span()).max().unwrap_or_default();
                self.paused_until = self.paused_until.max(since + longest.min(at_most));
            }
            match *verdict {
                Verdict::Charged { stamp, cost } => {
                    assert_eq!(stamp, now);
                    assert!(self.paused_until <= now, "charged while paused or held back");
                    assert!(ask.least.fits_in(cost) && cost.fits_in(ask.most), "{cost:?} for {ask:?}");
                    let charge = Charge { stamp, delivery: ask.delivery };
                    self.charge(Charged { owner: Some(owner), charge, left: cost }, now);
                    self.estimates.charged(charge, cost, self.rules.keys());
                }
                Verdict::NotBefore { stamp, at } => {
                    assert_eq!(stamp, now);
                    assert!(at > now, "it would be asked again at once");
                }
                ref other => panic!("an ask is not answered by {other:?}"),
            }
        } else {
            assert!(matches!(verdict, Verdict::NotBefore { .. }), "more limits in force than a connection carries: {verdict:?}");
        }
    }

    /// Notes a statement, or limits that rule over all others; false when there are too many limits.
    fn state(&mut self, limits: &Limits, rules_alone: bool, now: LedgerTime) -> bool {
        self.rules.retain(|limit, rule| rule.is_in_force(limit, now));
        let stated: Vec<RateLimit> = limits.iter().copied().collect();
        let others = self.rules.keys().filter(|limit| !stated.contains(limit)).count();
        if !rules_alone && others + stated.len() > MAX_LIMITS {
            return false;
        }
        let history = |dimension: Dimension| -> Vec<usize> {
            let in_force = self.rules.iter().filter(|(limit, _)| limit.dimension() == dimension);
            let counts = in_force.flat_map(|(limit, rule)| rule.counts.iter().map(move |charge| (*limit, *charge)));
            let mut history: Vec<usize> =
                counts.filter(|(limit, charge)| self.still_counts(limit, *charge, now)).map(|(_, charge)| charge).collect();
            history.sort_unstable();
            history.dedup();
            history
        };
        let anew = |limit: &RateLimit| {
            let counts = history(limit.dimension());
            (*limit, Rule { stated_at: now, inherited: counts.len(), counts })
        };
        let new: Vec<_> = stated.iter().map(anew).collect();
        for (limit, rule) in new {
            self.rules.entry(limit).and_modify(|former| former.stated_at = now).or_insert(rule);
        }
        if rules_alone {
            self.rules.retain(|limit, _| stated.contains(limit));
        }
        true
    }

    /// Whether a charge still counts for a limit that counts it.
    fn still_counts(&self, limit: &RateLimit, charge: usize, now: LedgerTime) -> bool {
        if !limit.algorithm().is_bucket() {
            return self.charges[charge].leaves(limit) > now;
        }
        let rule = &self.rules[limit];
        let all: Vec<Charged> = rule.counts.iter().map(|charge| self.charges[*charge]).collect();
        let after = rule.counts.iter().filter(|later| **later > charge);
        let after: u64 = after.map(|later| self.charges[*later].left.along(limit.dimension())).sum();
        let inherited = &rule.counts[..rule.inherited];
        let is_let_go = inherited.contains(&charge) && has_overflowed(&all[..rule.inherited], limit) && {
            let since = inherited.iter().filter(|other| **other >= charge);
            since.map(|other| self.charges[*other].left.along(limit.dimension())).sum::<u64>()
                > u64::from(limit.request_count().get())
        };
        !is_let_go && level(&all, rule.inherited, limit, now) > u128::from(after) * limit.window().as_nanos()
    }

    fn charge(&mut self, charged: Charged, now: LedgerTime) {
        self.charges.push(charged);
        for (limit, rule) in &mut self.rules {
            rule.counts.push(self.charges.len() - 1);
            let counts = rule.counts.iter().map(|charge| self.charges[*charge]);
            let (allowed, adds) = (u64::from(limit.request_count().get()), charged.left.along(limit.dimension()));
            let is_over = if limit.algorithm().is_bucket() {
                // As if it had arrived at once, and those before it as late as they may have.
                let before: Vec<Charged> = counts.take(rule.counts.len() - 1).collect();
                let window = limit.window().as_nanos();
                level(&before, rule.inherited, limit, now) + u128::from(adds) * window > u128::from(allowed) * window
            } else {
                let held = counts.filter(|charge| charge.leaves(limit) > now).map(|charge| charge.left.along(limit.dimension()));
                held.sum::<u64>() > allowed
            };
            assert!(!is_over || adds == 0, "over {limit} at {now:?}: {:?}", self.charges);
        }
    }
}
