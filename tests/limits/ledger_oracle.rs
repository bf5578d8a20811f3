//! What the ledger may and may not charge, kept by someone who only reads the log and the answers.
//!
//! *In force*: a limit holds for a connection from the entry that states it (an ask that was judged, whether or not anything was
//! charged) until one span of it after the entry that stated it last, the end excluded. Its span is the window and the guard.
//!
//! *Counts*: a charge counts for a limit that was in force when it was made. For one that is stated anew, a former charge counts
//! if it still counted then for another limit in force of the same dimension: that is the history there is. For a window it counts
//! from its stamp until one span after its stamp and its delivery bound, less what was validly returned. For a bucket, until as much as has been
//! charged up to it has leaked, at a steady rate from the latest moment on at which it may have arrived.
//!
//! *Valid*: a return by the incarnation that made the charge, while no other has charged the connection since, of no more than what
//! is left of the charge. Charges of one entry can share a name; the last one, for which no fewer limits count, is taken back first.
//!
//! *Held back*: from the entry of a hold on, for as long as a charge of that moment would count for the limit in force that counts it longest, and no
//! longer than the hold. Of two holds the one that ends later holds, of equals the later one.
//!
//! *The law*: whenever something is charged, no limit in force counts more than it allows, and nothing is paused or held back. A bucket allows its count, and what
//! leaks in that time, since any of its charges may have arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use turnstile::engine::cost::{Cost, Dimension};
use turnstile::engine::grant::{Charge, Epoch, Incarnation, LogIndex, NodeId, ShardCount};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::{
    Action, Adjusted, Adjustment, Answer, Ask, Batch, BatchNumber, Command, Reconcile, Return, Verdict,
};
use turnstile::engine::rate::{MAX_LIMITS, RateLimit};
use turnstile::engine::ring::Ring;
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
struct Connection {
    charges: Vec<Charged>,
    rules: BTreeMap<RateLimit, Rule>,
    paused_until: LedgerTime,
    estimates: Estimates,
}

/// A member, and the last batch that was judged of it.
#[derive(Debug)]
struct Member {
    incarnation: Incarnation,
    shards: ShardCount,
    last: Option<(BatchNumber, Vec<Verdict>)>,
}

/// All that was ever decided.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    now: LedgerTime,
    epoch: Epoch,
    ring: Ring,
    members: BTreeMap<NodeId, Member>,
    connections: BTreeMap<ConnectionKey, Connection>,
    /// Since when, and for how long at most.
    hold: Option<(LedgerTime, Duration)>,
}

impl Oracle {
    /// The entry at `index` got this stamp from the ledger.
    pub(crate) fn begin(&mut self, proposed: LedgerTime, stamp: LedgerTime) {
        assert!(stamp > self.now, "stamps strictly increase");
        assert!(stamp >= proposed, "the ledger is never behind the proposer");
        self.now = stamp;
    }

    /// Judges the ledger's answer to one command.
    pub(crate) fn judge(&mut self, index: LogIndex, command: &Command, answer: &Answer) {
        match command {
            Command::Tick => assert_eq!(*answer, Answer::Ticked),
            Command::Hold { at_most } => {
                let ends_at = |(since, at_most): (LedgerTime, Duration)| since + at_most;
                let hold = (self.now, *at_most);
                self.hold = self.hold.filter(|former| ends_at(*former) > ends_at(hold)).or(Some(hold));
                assert_eq!(*answer, Answer::Held);
            }
            Command::Raise { to } => assert_eq!(*answer, Answer::Raised { level: *to }),
            Command::Join { incarnation, shards, seen } => {
                let is_member = self.members.get(&incarnation.node).is_some_and(|member| member.incarnation == *incarnation);
                if !is_member && *seen != self.epoch {
                    assert_eq!(*answer, Answer::Outdated { epoch: self.epoch });
                } else {
                    self.join(index, *incarnation, *shards);
                    assert_eq!(*answer, Answer::Joined { epoch: self.epoch });
                }
            }
            Command::MarkDown { incarnation } => {
                if self.members.get(&incarnation.node).is_some_and(|member| member.incarnation == *incarnation) {
                    self.members.remove(&incarnation.node);
                    self.turn(index);
                }
                assert_eq!(*answer, Answer::MarkedDown { epoch: self.epoch });
            }
            Command::Propose(batch) => self.judge_batch(batch, answer),
        }
    }

    fn join(&mut self, index: LogIndex, incarnation: Incarnation, shards: ShardCount) {
        if self.members.get(&incarnation.node).is_none_or(|member| member.incarnation != incarnation) {
            self.members.insert(incarnation.node, Member { incarnation, shards, last: None });
            self.turn(index);
        }
    }

    /// A new ring.
    fn turn(&mut self, index: LogIndex) {
        self.epoch = Epoch(index);
        self.ring = Ring::new(self.epoch, self.members.iter().map(|(&node, member)| (node, member.shards)).collect());
    }

    fn judge_batch(&mut self, batch: &Batch, answer: &Answer) {
        let Some(member) = self.members.get_mut(&batch.owner.node) else {
            return assert_eq!(*answer, Answer::NotMember, "it never joined, or was marked down");
        };
        if member.incarnation != batch.owner {
            return assert_eq!(*answer, Answer::Superseded, "a later run has joined");
        }
        match &member.last {
            Some((last, verdicts)) if *last == batch.number => {
                return assert_eq!(*answer, Answer::Verdicts(verdicts.clone()), "a repeated batch is answered alike");
            }
            Some((last, _)) if *last > batch.number => return assert_eq!(*answer, Answer::Superseded, "an old batch"),
            _ => {}
        }
        let Answer::Verdicts(verdicts) = answer else { panic!("a fresh batch is judged, not {answer:?}") };
        member.last = Some((batch.number, verdicts.clone()));
        assert_eq!(verdicts.len(), batch.proposals.len());
        for (proposal, verdict) in batch.proposals.iter().zip(verdicts) {
            let owns = self.ring.owner(&proposal.key).is_some_and(|shard| shard.node == batch.owner.node);
            if !owns || proposal.epoch != self.epoch {
                assert_eq!(*verdict, Verdict::Moved { epoch: self.epoch });
                continue;
            }
            let connection = self.connections.entry(proposal.key.clone()).or_default();
            match &proposal.action {
                Action::Adjust(Adjustment::Penalize(pause)) => {
                    let until = self.now + *pause;
                    connection.paused_until = connection.paused_until.max(until);
                    assert_eq!(*verdict, Verdict::Adjusted { stamp: self.now, adjusted: Adjusted::Paused { until } });
                    continue;
                }
                Action::Adjust(Adjustment::Reconcile(reconcile)) => {
                    let Verdict::Adjusted { stamp, adjusted } = verdict else { panic!("a reconcile is answered by {verdict:?}") };
                    assert_eq!(*stamp, self.now);
                    connection.reconcile(reconcile, adjusted, self.now);
                    continue;
                }
                Action::Slots { returns, ask } => {
                    returns.iter().for_each(|given_back| connection.give_back(batch.owner, given_back));
                    if let Some(ask) = ask {
                        connection.judge(batch.owner, ask, verdict, self.now, self.hold);
                        continue;
                    }
                }
            }
            assert_eq!(*verdict, Verdict::Done { stamp: self.now });
        }
    }
}

impl Connection {
    fn give_back(&mut self, owner: Incarnation, given_back: &Return) {
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

    fn reconcile(&mut self, reconcile: &Reconcile, adjusted: &Adjusted, now: LedgerTime) {
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

    fn judge(&mut self, owner: Incarnation, ask: &Ask, verdict: &Verdict, now: LedgerTime, hold: Option<(LedgerTime, Duration)>) {
        if self.state(ask, now) {
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

    /// Notes a statement; false when there are too many limits.
    fn state(&mut self, ask: &Ask, now: LedgerTime) -> bool {
        self.rules.retain(|limit, rule| rule.is_in_force(limit, now));
        let stated: Vec<RateLimit> = ask.limits.iter().copied().collect();
        let others = self.rules.keys().filter(|limit| !stated.contains(limit)).count();
        if others + stated.len() > MAX_LIMITS {
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
        level(&all, rule.inherited, limit, now) > u128::from(after) * limit.window().as_nanos()
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

/// A pause, a delivery bound, a window: anything short.
pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
