//! What the four bucket algorithms have in common: margins, names, and what remains of a limit that changes.
//!
//! Promises: at most `C + t · rate` units reach the platform in any span `t` (C is the capacity, T = 1 / rate); a request of up to C goes at once when
//! nothing was charged for long; whoever is told a moment is served then and no nanosecond earlier; all four give identical times.
//! Must not: round against anybody but the caller, and never by more than 1 ns a grant ([`super::pace`] is exact).
//!
//! **Margins.** A charge that is made at `s` with a delivery bound `d` and the limit's guard `g` arrives somewhere in [s, s + d + g]. It is *judged* at `s`,
//! and *counted* from e = s + d + g on: in the terms of GCRA it may be made iff a ≤ C and TAT ≤ s + (C − a)T, and then TAT ← max(e, TAT) + aT. The
//! other three judge and count at the same moments in their own terms. Take any span [x, y], the first charge (0) that may arrive at x or
//! later, and the last (n) that may arrive by y. After the first, TAT ≥ e₀ + a₀T ≥ x + a₀T, and each one adds its aT at least, so before the last
//! x + T·(a₀ + … + aₙ₋₁) ≤ TAT ≤ sₙ + (C − aₙ)T ≤ y + (C − aₙ)T, which is T·(a₀ + … + aₙ) ≤ (y − x) + CT. So single calls go at once until
//! C − rate·(d + g), one follows another after T + d + g where C = 1, and nothing of the rate is lost where (C − 1)T > d + g. All of this is by
//! the ledger's clock: T is longer than the limit's by as much as another clock may run slower ([`crate::engine::rate::RateLimit::period`]). Without margins it is the plain
//! algorithm.
//!
//! **Refunds.** Units leak in the order in which they were charged. What is given back of a charge is at most what of it had not leaked when
//! any later charge began to count, so the TAT moves back by exactly what that charge has moved it on, and is no earlier than if the charge had been
//! smaller from the beginning; what was let through since would have been let through then, too. Names that are forgotten give nothing back.
//!
//! **Changes.** The bucket knows since when it was never empty, and so how much was charged since. A bucket of other parameters counts all of that
//! as early, and what had not leaked at the last charge as late, as it may have been: it is then at least as full as if it had been there from
//! the beginning. It is no more than full at the last charge, for a platform that counts by the new limit has refused the rest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gcra::{ContinuousBucket, VirtualScheduling};
use super::leaky_bucket::LeakyBucket;
use super::pace::{Pace, Parts};
use super::recent_charges::{Name, RecentCharges};
use super::room::Room;
use super::sliding_window::SlidingWindow;
use super::token_bucket::TokenBucket;
use crate::engine::time::{Moment, TimeLine};

/// The state of one algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum Flow<L: TimeLine> {
    Token(TokenBucket<L>),
    Leaky(LeakyBucket<L>),
    Virtual(VirtualScheduling),
    Continuous(ContinuousBucket<L>),
}

impl<L: TimeLine> Flow<L> {
    /// When `amount` more may go.
    fn conforms_at(&self, pace: Pace, amount: u64) -> Parts {
        match self {
            Self::Token(flow) => flow.conforms_at(pace, amount),
            Self::Leaky(flow) => flow.conforms_at(pace, amount),
            Self::Virtual(flow) => flow.conforms_at(pace, amount),
            Self::Continuous(flow) => flow.conforms_at(pace, amount),
        }
    }

    fn charge(&mut self, pace: Pace, from: Moment<L>, amount: u64) {
        match self {
            Self::Token(flow) => flow.charge(pace, from, amount),
            Self::Leaky(flow) => flow.charge(pace, from, amount),
            Self::Virtual(flow) => flow.charge(pace, from, amount),
            Self::Continuous(flow) => flow.charge(pace, from, amount),
        }
    }

    fn give_back(&mut self, pace: Pace, amount: u64) {
        match self {
            Self::Token(flow) => flow.give_back(pace, amount),
            Self::Leaky(flow) => flow.give_back(pace, amount),
            Self::Virtual(flow) => flow.give_back(pace, amount),
            Self::Continuous(flow) => flow.give_back(pace, amount),
        }
    }
}

/// At most `capacity + t · rate` in any span `t`, on time line `L`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Bucket<L: TimeLine> {
    pace: Pace,
    guard: Duration,
    flow: Flow<L>,
    /// The latest moment at which anything was charged: an earlier `now` counts as this one.
    charged_at: Moment<L>,
    /// From when on the first of those counts that were charged since it was last empty.
    busy_since: Moment<L>,
    /// The latest moment from which anything counts.
    counts_from: Moment<L>,
    recent: RecentCharges<L>,
}

impl<L: TimeLine> Bucket<L> {
    /// A bucket from which nothing was ever taken.
    pub(super) const fn new(pace: Pace, guard: Duration, flow: Flow<L>) -> Self {
        let (charged_at, busy_since, counts_from) = (Moment::ZERO, Moment::ZERO, Moment::ZERO);
        Self { pace, guard, flow, charged_at, busy_since, counts_from, recent: RecentCharges::new() }
    }

    /// The units that may be charged at `now`.
    #[must_use]
    pub fn room(&self, now: Moment<L>) -> u64 {
        let spare = self.pace.at(now.max(self.charged_at)).saturating_sub(self.flow.conforms_at(self.pace, 0));
        if spare >= self.pace.of_capacity() { self.pace.capacity() } else { self.pace.units_within(spare) }
    }

    /// Whether `amount` may be charged at `now`, and else when. Nothing may be charged at once.
    #[must_use]
    pub fn check(&self, now: Moment<L>, amount: u64) -> Room<Moment<L>> {
        if amount == 0 {
            return Room::Ready;
        }
        if amount > self.pace.capacity() {
            return Room::Never;
        }
        let conforms_at = self.flow.conforms_at(self.pace, amount);
        if conforms_at <= self.pace.at(now.max(self.charged_at)) {
            return Room::Ready;
        }
        // A time line that ends before has no moment to name.
        self.pace.moment(conforms_at).map_or(Room::Never, Room::NotBefore)
    }

    /// A moment before which a request for `amount` with `ahead` units in front of it can't be charged. `None` when `amount` is more
    /// than the capacity.
    #[must_use]
    pub fn earliest(&self, now: Moment<L>, ahead: u64, amount: u64) -> Option<Moment<L>> {
        if amount > self.pace.capacity() {
            return None;
        }
        let now = now.max(self.charged_at);
        // Who takes nothing goes with the last of those in front.
        let (ahead, amount) = match (ahead, amount) {
            (0, 0) => return Some(now),
            (ahead, 0) => (ahead - 1, 1),
            (ahead, amount) => (ahead, amount),
        };
        let mut conforms_at = self.flow.conforms_at(self.pace, amount);
        if ahead > 0 {
            // Those in front count from now and the guard on, or later: how long they may be on their way is not known yet.
            let tolerance = self.pace.of_capacity().saturating_sub(self.pace.of(amount));
            let unless_busy = self.pace.at(now + self.guard).saturating_sub(tolerance);
            conforms_at = conforms_at.max(unless_busy).saturating_add(self.pace.of(ahead));
        }
        Some(self.pace.moment(conforms_at).unwrap_or(Moment::from_nanos(u64::MAX)).max(now))
    }

    /// Counts `amount`, whose way to its worker ends by `from`. The caller has checked that there is room.
    pub fn charge(&mut self, now: Moment<L>, from: Moment<L>, amount: u32) {
        self.charge_as((now, from), now, from, amount);
    }

    /// Counts `amount` from `now` on, under a name that no charge has: it can't be given back.
    pub(super) fn charge_unnamed(&mut self, now: Moment<L>, amount: u32) {
        self.charge_as((now, Moment::END), now, now, amount);
    }

    fn charge_as(&mut self, name: Name<L>, now: Moment<L>, from: Moment<L>, amount: u32) {
        if amount == 0 {
            return;
        }
        self.charged_at = self.charged_at.max(now);
        let from = from.max(self.charged_at) + self.guard;
        if self.drained_at() <= self.pace.at(self.charged_at.saturating_sub(Duration::from_nanos(1))) {
            self.busy_since = from;
        }
        self.count(from, u64::from(amount));
        self.recent.note(name, amount);
        let (pace, level) = (self.pace, self.drained_at().saturating_sub(self.pace.at(self.charged_at)));
        self.recent.forget_while(|after| level <= pace.of(after));
    }

    fn count(&mut self, from: Moment<L>, amount: u64) {
        self.counts_from = self.counts_from.max(from);
        self.flow.charge(self.pace, from, amount);
    }

    /// Gives back up to `amount` of what was charged at exactly `charged_at` to count from `from` on, and says how much: less when part of it was
    /// given back before or has leaked, nothing when the charge is forgotten. Units that have leaked since the last charge may come back, too:
    /// nobody has used them, and it makes no difference.
    pub fn refund(&mut self, charged_at: Moment<L>, from: Moment<L>, amount: u32) -> u32 {
        let Some(named) = self.recent.find((charged_at, from)) else {
            return 0;
        };
        let behind = self.pace.at(self.counts_from).saturating_add(self.pace.of(named.after));
        let left = self.pace.units_within(self.drained_at().saturating_sub(behind));
        let given_back = amount.min(named.amount).min(u32::try_from(left).unwrap_or(u32::MAX));
        self.recent.take(named, given_back);
        self.flow.give_back(self.pace, u64::from(given_back));
        given_back
    }

    /// When all that was charged has leaked: in GCRA the theoretical arrival time.
    fn drained_at(&self) -> Parts {
        self.flow.conforms_at(self.pace, self.pace.capacity())
    }

    /// When nothing counts any more; the origin when there is nothing.
    #[must_use]
    pub fn empty_at(&self) -> Moment<L> {
        self.pace.moment(self.drained_at()).unwrap_or(Moment::from_nanos(u64::MAX))
    }

    /// The units that have not leaked at `now`, a part of one for a whole.
    #[must_use]
    pub fn held(&self, now: Moment<L>) -> u64 {
        self.charged_since(now.max(self.charged_at))
    }

    /// No fewer units than were charged to count from `moment` or later: those that leak after it, for nothing else leaks as long as any are left.
    pub(super) fn charged_since(&self, moment: Moment<L>) -> u64 {
        self.pace.units_over(self.drained_at().saturating_sub(self.pace.at(moment.max(self.busy_since))))
    }

    /// The latest moment from which anything counts.
    pub(super) const fn counts_from(&self) -> Moment<L> {
        self.counts_from
    }

    /// This one, with what a window holds counted as it was charged.
    pub(super) fn replaying_window(mut self, window: &SlidingWindow<L>) -> Self {
        self.busy_since = window.runs().next().map_or(self.busy_since, |(from, _)| from + self.guard);
        for (from, amount) in window.runs() {
            self.count(from + self.guard, amount);
        }
        self.overflow();
        self
    }

    /// This one, with what another bucket had charged since it was last empty. With charges `aⱼ` from `eⱼ` on, this bucket would drain at the
    /// latest `eⱼ + T·(aⱼ + …)`, and of the other it is known that `aⱼ + …` leak between `eⱼ` and its end; so that is largest for one of the two
    /// ends, all from the first moment, or what was left at the last from there, and counting the two parts gives the later one.
    pub(super) fn replaying_bucket(mut self, other: &Self) -> Self {
        let later = self.guard.saturating_sub(other.guard);
        let (all, last) = (other.charged_since(other.busy_since), other.charged_since(other.counts_from));
        self.busy_since = other.busy_since + later;
        for (from, amount) in [(other.busy_since, all.saturating_sub(last)), (other.counts_from, last)] {
            if amount > 0 {
                self.count(from + later, amount);
            }
        }
        self.overflow();
        self
    }

    /// Lets go what is over the capacity.
    fn overflow(&mut self) {
        let full = self.pace.at(self.counts_from).saturating_add(self.pace.of_capacity());
        self.flow.give_back(self.pace, self.pace.units_within(self.drained_at().saturating_sub(full)));
    }

    /// Of two accounts of the same charges takes the one that is empty later, and what each knows of the time before.
    pub(super) fn join(&mut self, other: Self) {
        if other.drained_at() <= 0 {
            return;
        }
        if self.drained_at() <= 0 {
            *self = other;
            return;
        }
        let (busy_since, counts_from) = (self.busy_since.min(other.busy_since), self.counts_from.max(other.counts_from));
        if other.drained_at() > self.drained_at() {
            *self = other;
        }
        (self.busy_since, self.counts_from) = (busy_since, counts_from);
    }
}
