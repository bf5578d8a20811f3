//! Who keeps the log by one entry of it, with joint consensus: while the voters change, a majority of the former and one of the next are needed.

use std::collections::BTreeSet;

/// Whose agreement is needed: by the rule, or by one that must be found to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// In the midst of a change, two majorities.
    Joint,
    /// That of the next voters alone.
    NextVotersOnly,
    /// Learners agree in place of voters.
    LearnersVote,
}

/// Who keeps the log. Each node is at most one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub rule: Rule,
    /// Whose disks make a quorum.
    pub voters: BTreeSet<usize>,
    /// In the midst of a change, whose will.
    pub next: Option<BTreeSet<usize>>,
    /// Who receives the log, and is not asked.
    pub learners: BTreeSet<usize>,
}

impl Configuration {
    pub const fn of(voters: BTreeSet<usize>, rule: Rule) -> Self {
        Self { rule, voters, next: None, learners: BTreeSet::new() }
    }

    fn sets(&self) -> impl Iterator<Item = &BTreeSet<usize>> {
        std::iter::once(&self.voters).chain(&self.next)
    }

    /// All who vote.
    pub fn all_voters(&self) -> BTreeSet<usize> {
        self.sets().flatten().copied().collect()
    }

    /// All who receive the log.
    pub fn replicas(&self) -> BTreeSet<usize> {
        self.sets().flatten().chain(&self.learners).copied().collect()
    }

    pub fn has_voter(&self, node: usize) -> bool {
        self.sets().any(|voters| voters.contains(&node))
    }

    pub fn has(&self, node: usize) -> bool {
        self.has_voter(node) || self.learners.contains(&node)
    }

    /// Who is asked, and how many of them must agree; in the midst of a change, by both sets.
    fn quorums(&self) -> Vec<(BTreeSet<usize>, usize)> {
        let majority = |voters: &BTreeSet<usize>| voters.len() / 2 + 1;
        let of_voters = |voters: &BTreeSet<usize>| (voters.clone(), majority(voters));
        match self.rule {
            Rule::Joint => self.sets().map(of_voters).collect(),
            Rule::NextVotersOnly => self.sets().last().map(of_voters).into_iter().collect(),
            Rule::LearnersVote => {
                let and_learners = |voters: &BTreeSet<usize>| (voters.union(&self.learners).copied().collect(), majority(voters));
                self.sets().map(and_learners).collect()
            }
        }
    }

    /// Who is asked to agree.
    pub fn asked(&self) -> BTreeSet<usize> {
        self.quorums().into_iter().flat_map(|(asked, _)| asked).collect()
    }

    /// Whether a majority of each set of voters is among these, whatever the rule.
    pub fn has_majority(&self, is_among: impl Fn(usize) -> bool) -> bool {
        self.sets().all(|voters| voters.iter().filter(|&&voter| is_among(voter)).count() * 2 > voters.len())
    }

    /// Whether a majority agrees; in the midst of a change, of both.
    pub fn is_agreed(&self, agrees: impl Fn(usize) -> bool) -> bool {
        let is_enough =
            |(asked, enough): &(BTreeSet<usize>, usize)| asked.iter().filter(|&&voter| agrees(voter)).count() >= *enough;
        self.quorums().iter().all(is_enough)
    }

    /// Up to where a majority holds the log; in the midst of a change, of both.
    pub fn held_by_majority(&self, held: impl Fn(usize) -> usize) -> usize {
        let by_majority = |(asked, enough): &(BTreeSet<usize>, usize)| {
            let mut held: Vec<usize> = asked.iter().map(|&voter| held(voter)).collect();
            held.sort_unstable();
            held[held.len() - enough]
        };
        self.quorums().iter().map(by_majority).min().unwrap()
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
        Self { voters: self.voters.clone(), next: Some(voters), learners, rule: self.rule }
    }

    /// The second step, if the first was done. Who is no voter any more has no log either.
    pub fn settled(&self) -> Option<Self> {
        let voters = self.next.clone()?;
        Some(Self { voters, next: None, ..self.clone() })
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
