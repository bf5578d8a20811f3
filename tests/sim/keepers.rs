//! Who has led and kept the log, as the witness saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::configuration::Configuration;
use crate::seen::Seen;

#[derive(Debug, Default)]
pub struct Keepers {
    /// As they were committed, and where.
    configurations: Vec<(usize, Rc<Configuration>)>,
    /// By term.
    leaders: BTreeMap<u64, usize>,
    owners: BTreeSet<usize>,
    /// What should not have been.
    broken: Vec<String>,
}

impl Keepers {
    /// An entry of the log was applied for the first time.
    pub fn configured(&mut self, index: usize, configuration: &Rc<Configuration>, seen: &mut Seen) {
        if let Some((_, former)) = self.configurations.last() {
            seen.changes += 1;
            if !former.leads_to(configuration) {
                self.broken.push(format!("no one change leads from {former:?} to {configuration:?}, entry {index}"));
            }
            let is_replacement = |next: &BTreeSet<usize>| {
                next.difference(&former.voters).count() > 0 && former.voters.difference(next).count() > 0
            };
            seen.replaced += u64::from(former.next.as_ref().is_some_and(is_replacement));
        }
        self.configurations.push((index, Rc::clone(configuration)));
    }

    /// Where the last configuration is that is known to be committed.
    pub fn configured_at(&self) -> usize {
        self.configurations.last().map_or(0, |(index, _)| *index)
    }

    /// A node leads.
    pub fn elected(&mut self, term: u64, n: usize) {
        if let Some(other) = self.leaders.insert(term, n) {
            self.broken.push(format!("nodes {other} and {n} both lead in term {term}"));
        }
    }

    /// A node is an owner; whether it is for the first time.
    pub fn joined(&mut self, n: usize) -> bool {
        self.owners.insert(n)
    }

    /// A node says that it has gone: nothing may depend on its disk any more.
    pub fn drained(&mut self, n: usize) {
        if let Some((index, configuration)) = self.configurations.last().filter(|(_, configuration)| configuration.has_voter(n)) {
            self.broken.push(format!("node {n} says that it has gone, and votes by {configuration:?}, entry {index}"));
        }
    }

    /// The first of what should not have been.
    pub fn broken(&self) -> Option<&String> {
        self.broken.first()
    }
}
