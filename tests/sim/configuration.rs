//! Who keeps the log by one entry of it, with joint consensus: while the voters change, a majority of the former and one of the next are needed.

use std::collections::BTreeSet;

/// Who keeps the log. Each node is at most one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Whose disks make a quorum.
    pub voters: BTreeSet<usize>,
    /// In the midst of a change, whose will.
    pub next: Option<BTreeSet<usize>>,
    /// Who receives the log, and is not asked.
    pub learners: BTreeSet<usize>,
}

impl Configuration {
    pub const fn of(voters: BTreeSet<usize>) -> Self {
        Self { voters, next: None, learners: BTreeSet::new() }
    }

    /// The sets of voters of which each must agree.
    pub fn quorums(&self) -> impl Iterator<Item = &BTreeSet<usize>> {
        std::iter::once(&self.voters).chain(&self.next)
    }

    /// All who vote.
    pub fn all_voters(&self) -> BTreeSet<usize> {
        self.quorums().flatten().copied().collect()
    }

    /// All who receive the log.
    pub fn replicas(&self) -> BTreeSet<usize> {
        self.quorums().flatten().chain(&self.learners).copied().collect()
    }

    pub fn has_voter(&self, node: usize) -> bool {
        self.quorums().any(|voters| voters.contains(&node))
    }

    pub fn has(&self, node: usize) -> bool {
        self.has_voter(node) || self.learners.contains(&node)
    }

    /// Whether a majority agrees; in the midst of a change, of both.
    pub fn is_agreed(&self, agrees: impl Fn(usize) -> bool) -> bool {
        self.quorums().all(|voters| voters.iter().filter(|&&voter| agrees(voter)).count() * 2 > voters.len())
    }

    /// Up to where a majority holds the log; in the midst of a change, of both.
    pub fn held_by_majority(&self, held: impl Fn(usize) -> usize) -> usize {
        let by_majority = |voters: &BTreeSet<usize>| {
            let mut held: Vec<usize> = voters.iter().map(|&voter| held(voter)).collect();
            held.sort_unstable();
            held[(held.len() - 1) / 2]
        };
        self.quorums().map(by_majority).min().unwrap()
    }

    /// With one more who receives the log.
    pub fn with_learner(&self, node: usize) -> Self {
        let mut next = self.clone();
        next.learners.insert(node);
        next
    }

    pub fn without_learner(&self, node: usize) -> Self {
        let mut next = self.clone();
        next.learners.remove(&node);
        next
    }

    /// The first step to other voters.
    pub fn towards(&self, voters: BTreeSet<usize>) -> Self {
        let learners = self.learners.difference(&voters).copied().collect();
        Self { voters: self.voters.clone(), next: Some(voters), learners }
    }

    /// The second step, if the first was done. Who is no voter any more has no log either.
    pub fn settled(&self) -> Option<Self> {
        let voters = self.next.clone()?;
        Some(Self { voters, next: None, learners: self.learners.clone() })
    }

    /// Whether one change leads from here to there.
    pub fn leads_to(&self, there: &Self) -> bool {
        if let Some(settled) = self.settled() {
            return *there == settled;
        }
        let is_first_step = there.next.as_ref().is_some_and(|voters| {
            let comes = |voter: &usize| self.has(*voter);
            voters.iter().all(comes) && *there == self.towards(voters.clone())
        });
        let is_of_learners = there.voters == self.voters && there.next.is_none();
        is_first_step || is_of_learners && self.learners.symmetric_difference(&there.learners).count() == 1
    }
}
