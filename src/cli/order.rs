//! Priority and order, judged by the owner's own numbers.
//!
//! Arrivals and releases of one owner are drawn from one counter, so they compare with each other and
//! no clock is asked. Both counts are of pairs, in O(n log n), with a Fenwick tree over the releases.

use serde::{Deserialize, Serialize};

/// An arrival or release number; one owner draws both from one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Sequence(pub(crate) u64);

/// One run of one owner; numbers of different tenures don't compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Tenure(pub(crate) u64);

/// A released request: when it arrived and when it left, in one owner's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay {
    /// 0 is served first.
    pub(crate) niceness: u32,
    /// Drawn when the owner took the request in: its place among its equals.
    pub(crate) arrival: Sequence,
    /// Drawn when it began to wait without a break: with its arrival, or later if it was away. Nobody overtook it before.
    pub(crate) waits_since: Sequence,
    /// Drawn when the owner let it go.
    pub(crate) release: Sequence,
}

/// The pairs in which one left although another of lower niceness was waiting, and left after it.
pub(crate) fn priority_inversions(stays: &[Stay]) -> u64 {
    let mut releases = Tree::over(stays);
    let mut by_niceness = stays.to_vec();
    by_niceness.sort_unstable_by_key(|stay| std::cmp::Reverse(stay.niceness));
    let mut pairs = 0;
    for equals in by_niceness.chunk_by(|a, b| a.niceness == b.niceness) {
        // The tree holds the releases of all that are nicer than these.
        for victim in equals {
            pairs += releases.between(victim.waits_since, victim.release);
        }
        for stay in equals {
            releases.insert(stay.release);
        }
    }
    pairs
}

/// The pairs of equal niceness in which the later arrival left first, while the other waited.
pub(crate) fn fifo_inversions(stays: &[Stay]) -> u64 {
    let mut queues = stays.to_vec();
    // Equal arrivals would be an error of another kind; by release, they are no inversion.
    queues.sort_unstable_by_key(|stay| (stay.niceness, stay.arrival, stay.release));
    queues.reverse();
    let mut pairs = 0;
    for queue in queues.chunk_by(|a, b| a.niceness == b.niceness) {
        let mut releases = Tree::over(queue);
        // The tree holds the releases of all that came after this one.
        for victim in queue {
            pairs += releases.between(victim.waits_since, victim.release);
            releases.insert(victim.release);
        }
    }
    pairs
}

/// A Fenwick tree that counts inserted releases by rank.
struct Tree {
    ranks: Vec<Sequence>,
    /// One-based; `counts[i]` covers the `i & -i` ranks up to `i`.
    counts: Vec<u64>,
}

impl Tree {
    fn over(stays: &[Stay]) -> Self {
        let mut ranks: Vec<_> = stays.iter().map(|stay| stay.release).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let counts = vec![0; ranks.len() + 1];
        Self { ranks, counts }
    }

    fn insert(&mut self, release: Sequence) {
        let mut place = self.ranks.partition_point(|rank| *rank < release) + 1;
        while let Some(count) = self.counts.get_mut(place) {
            *count += 1;
            place += place & place.wrapping_neg();
        }
    }

    /// How many of the first `ranks` ranks have been inserted.
    fn among_first(&self, ranks: usize) -> u64 {
        let mut place = ranks;
        let mut sum = 0;
        while place > 0 {
            sum += self.counts.get(place).copied().unwrap_or(0);
            place &= place - 1;
        }
        sum
    }

    /// Inserted releases strictly between the two.
    fn between(&self, after: Sequence, before: Sequence) -> u64 {
        let upto = self.among_first(self.ranks.partition_point(|rank| *rank <= after));
        let below = self.among_first(self.ranks.partition_point(|rank| *rank < before));
        below.saturating_sub(upto)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stay((niceness, arrival, release): (u32, u64, u64)) -> Stay {
        Stay { niceness, arrival: Sequence(arrival), waits_since: Sequence(arrival), release: Sequence(release) }
    }

    fn stays(all: &[(u32, u64, u64)]) -> Vec<Stay> {
        all.iter().copied().map(stay).collect()
    }

    fn pairs(stays: &[Stay], inverted: impl Fn(&Stay, &Stay) -> bool) -> u64 {
        let pairs = stays.iter().flat_map(|a| stays.iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| u64::from(inverted(a, b))).sum()
    }

    fn naive_priority(stays: &[Stay]) -> u64 {
        pairs(stays, |a, b| b.waits_since < a.release && a.release < b.release && b.niceness < a.niceness)
    }

    fn naive_fifo(stays: &[Stay]) -> u64 {
        let waited = |a: &Stay, b: &Stay| a.waits_since < b.release && b.release < a.release;
        pairs(stays, |a, b| a.niceness == b.niceness && a.arrival < b.arrival && waited(a, b))
    }

    #[test]
    fn an_urgent_one_that_waits_must_leave_before_a_nicer_one() {
        // The nicer one leaves at 3 while the urgent one has waited since 2.
        assert_eq!(priority_inversions(&stays(&[(20, 1, 3), (0, 2, 4)])), 1);
        // The urgent one came only after the nicer one had left.
        assert_eq!(priority_inversions(&stays(&[(20, 1, 2), (0, 3, 4)])), 0);
        // The urgent one left first, as it must.
        assert_eq!(priority_inversions(&stays(&[(20, 1, 4), (0, 2, 3)])), 0);
    }

    #[test]
    fn each_pair_counts_once() {
        let two_victims = stays(&[(5, 1, 4), (0, 2, 5), (0, 3, 6)]);
        assert_eq!(priority_inversions(&two_victims), 2);
        let two_culprits = stays(&[(5, 1, 4), (20, 2, 5), (0, 3, 6)]);
        assert_eq!(priority_inversions(&two_culprits), 2);
    }

    #[test]
    fn equals_must_leave_as_they_came() {
        assert_eq!(fifo_inversions(&stays(&[(5, 1, 3), (5, 2, 4)])), 0);
        assert_eq!(fifo_inversions(&stays(&[(5, 1, 4), (5, 2, 3)])), 1);
        assert_eq!(fifo_inversions(&stays(&[(5, 1, 6), (5, 2, 5), (5, 3, 4)])), 3);
        // Of different niceness: a matter of priority, not of order.
        assert_eq!(fifo_inversions(&stays(&[(5, 1, 4), (0, 2, 3)])), 0);
    }

    #[test]
    fn who_was_away_was_not_overtaken() {
        // The first was away until 5: the second left at 3, the nicer one at 4.
        let away = Stay { waits_since: Sequence(5), ..stay((5, 1, 6)) };
        let others = stays(&[(5, 2, 3), (20, 1, 4)]);
        let all = [others.as_slice(), &[away]].concat();
        assert_eq!((priority_inversions(&all), fifo_inversions(&all)), (0, 0));
        let waited = Stay { waits_since: Sequence(1), ..away };
        let all = [others.as_slice(), &[waited]].concat();
        assert_eq!((priority_inversions(&all), fifo_inversions(&all)), (1, 1));
    }

    proptest! {
        #[test]
        fn both_counts_agree_with_the_naive_oracle(
            all in prop::collection::vec((0u32..4, 0u64..40, 0u64..10, 0u64..40), 0..60),
        ) {
            let stays: Vec<Stay> = all.iter().map(|&(niceness, arrival, away, release)| {
                Stay { waits_since: Sequence(arrival + away), ..stay((niceness, arrival, release)) }
            }).collect();
            prop_assert_eq!(priority_inversions(&stays), naive_priority(&stays));
            prop_assert_eq!(fifo_inversions(&stays), naive_fifo(&stays));
        }
    }
}
