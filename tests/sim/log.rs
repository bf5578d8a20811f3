//! A simple ordered log: terms, replication, truncation, commits by a majority of disks. Who leads is decided by the world (see `elections`), which
//! follows the same rule as Raft does: a majority whose logs are no newer.
//!
//! Who keeps the log is in the log: the newest configuration counts from the moment it is appended, and no longer when it is cut off.
//! Indices count from 1. What is not on the disk yet is lost in a crash.

use std::collections::BTreeMap;
use std::rc::Rc;

use turnstile::engine::ledger::LedgerEntry;

use crate::clock::Moment;
use crate::configuration::Configuration;

#[derive(Debug, Clone)]
pub enum Body {
    /// Begins a leader's term.
    Blank,
    Commands(Rc<LedgerEntry>),
    Configuration(Rc<Configuration>),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub term: u64,
    pub body: Body,
}

/// What a leader sends: the entries after `before`.
#[derive(Debug, Clone)]
pub struct Append {
    pub term: u64,
    pub before: usize,
    pub before_term: u64,
    pub entries: Vec<Entry>,
    pub committed: usize,
}

/// What a follower answers.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub term: u64,
    /// Up to where its disk holds what the leader's does; or where the leader had better begin.
    pub matched: Result<usize, usize>,
}

/// What a leader knows of a follower.
#[derive(Debug, Clone, Copy)]
struct Progress {
    next: usize,
    matched: usize,
    answered_at: Moment,
}

#[derive(Debug, Clone)]
struct Leadership {
    /// Where its own entries begin.
    first: usize,
    /// Those who have answered.
    followers: BTreeMap<usize, Progress>,
}

/// One node's log.
#[derive(Debug, Clone)]
pub struct Log {
    pub me: usize,
    pub term: u64,
    entries: Vec<Entry>,
    /// Those among the entries, and where.
    configurations: Vec<(usize, Rc<Configuration>)>,
    durable: usize,
    pub committed: usize,
    leadership: Option<Leadership>,
    pub leader: Option<usize>,
    /// Up to where it is the leader's.
    verified: usize,
    syncing: Option<usize>,
    /// How many entries it has had that were cut off.
    pub cut_off: usize,
}

impl Log {
    pub const fn new(me: usize) -> Self {
        Self {
            me,
            term: 0,
            entries: Vec::new(),
            configurations: Vec::new(),
            durable: 0,
            committed: 0,
            leadership: None,
            leader: None,
            verified: 0,
            syncing: None,
            cut_off: 0,
        }
    }

    /// That of one of the first voters: it begins with who they are.
    pub fn founded(me: usize, configuration: Rc<Configuration>) -> Self {
        let mut log = Self::new(me);
        log.push(Entry { term: 0, body: Body::Configuration(configuration) });
        log.durable = log.last();
        log
    }

    /// What a crash leaves: the disk. What was committed is learnt again.
    pub fn crash(&mut self) {
        self.truncate(self.durable);
        *self = Self {
            term: self.term,
            durable: self.durable,
            cut_off: self.cut_off,
            entries: std::mem::take(&mut self.entries),
            configurations: std::mem::take(&mut self.configurations),
            ..Self::new(self.me)
        };
    }

    fn push(&mut self, entry: Entry) {
        if let Body::Configuration(configuration) = &entry.body {
            self.configurations.push((self.last() + 1, Rc::clone(configuration)));
        }
        self.entries.push(entry);
    }

    fn truncate(&mut self, last: usize) {
        self.entries.truncate(last);
        self.configurations.retain(|(index, _)| *index <= last);
    }

    /// The configuration in force, committed or not, with its place; `None` without a log.
    pub fn configuration(&self) -> Option<&(usize, Rc<Configuration>)> {
        self.configurations.last()
    }

    /// The configurations that may be in force once what nobody has committed is cut off.
    pub fn configurations_from(&self, index: usize) -> impl Iterator<Item = &Configuration> {
        self.configurations.iter().filter(move |(at, _)| *at >= index).map(|(_, configuration)| &**configuration)
    }

    pub const fn leads(&self) -> bool {
        self.leadership.is_some()
    }

    /// What decides who may lead: nobody votes for a log that is older than its own.
    pub fn age(&self) -> (u64, usize) {
        (self.entries.last().map_or(0, |last| last.term), self.entries.len())
    }

    pub fn entry(&self, index: usize) -> &Entry {
        &self.entries[index - 1]
    }

    pub fn last(&self) -> usize {
        self.entries.len()
    }

    /// Has voted for somebody in this term.
    pub fn vote(&mut self, term: u64) {
        assert!(term > self.term);
        (self.term, self.leadership, self.leader, self.verified) = (term, None, None, 0);
    }

    /// Leads from now on, beginning with a blank entry.
    pub fn lead(&mut self, term: u64) {
        self.vote(term);
        let first = self.append(Body::Blank);
        (self.leadership, self.leader) = (Some(Leadership { first, followers: BTreeMap::new() }), Some(self.me));
    }

    /// Leads no more, though nobody else leads yet.
    pub fn resign(&mut self) {
        (self.leadership, self.leader) = (None, None);
    }

    /// Adds an entry of this leader's.
    pub fn append(&mut self, body: Body) -> usize {
        self.push(Entry { term: self.term, body });
        self.verified = self.last();
        self.last()
    }

    /// How many entries a follower of this leader is known to be behind.
    pub fn lag_of(&self, node: usize) -> Option<usize> {
        let progress = self.leadership.as_ref()?.followers.get(&node).filter(|progress| progress.matched > 0)?;
        Some(self.last() - progress.matched)
    }

    /// Whether it leads, and a quorum has answered since then.
    pub fn leads_since(&self, since: Moment) -> bool {
        let (Some(leadership), Some((_, configuration))) = (&self.leadership, self.configuration()) else { return false };
        let answered = |node: usize| leadership.followers.get(&node).is_some_and(|progress| progress.answered_at >= since);
        configuration.is_agreed(|voter| voter == self.me || answered(voter))
    }

    /// What this leader sends to a follower now. A heartbeat, when there is nothing new.
    pub fn to_send(&self, to: usize) -> Option<Append> {
        let leadership = self.leadership.as_ref()?;
        let next = leadership.followers.get(&to).map_or(leadership.first, |progress| progress.next);
        let (before, committed) = (next - 1, self.committed);
        let before_term = if before == 0 { 0 } else { self.entry(before).term };
        Some(Append {
            term: self.term,
            before,
            before_term,
            entries: self.entries[before..self.last().min(before + 64)].to_vec(),
            committed,
        })
    }

    /// Takes what a leader has sent. The answer, if there is one at once.
    pub fn receive(&mut self, from: usize, append: Append) -> Option<Appended> {
        let Append { term, before, before_term, entries, committed } = append;
        let refused = |log: &Self, hint| Some(Appended { term: log.term, matched: Err(hint) });
        if term < self.term {
            return refused(self, 0);
        }
        if term > self.term {
            self.vote(term);
        }
        assert!(!self.leads(), "two leaders of term {term}");
        self.leader = Some(from);
        if before > self.last() || before > 0 && self.entry(before).term != before_term {
            return refused(self, before.min(self.last() + 1));
        }
        let matches = before + entries.len();
        for (index, entry) in (before + 1..).zip(entries) {
            if index <= self.last() && self.entry(index).term != entry.term {
                assert!(index > self.committed, "what was committed is cut off");
                self.cut_off += self.last() - (index - 1);
                self.truncate(index - 1);
                self.durable = self.durable.min(index - 1);
                self.syncing = self.syncing.map(|upto| upto.min(index - 1));
            }
            if index > self.last() {
                self.push(entry);
            }
        }
        self.verified = self.verified.max(matches);
        self.committed = self.committed.max(committed.min(matches));
        (self.durable >= self.verified).then(|| self.acknowledges())
    }

    /// What a follower's disk holds of its leader's log.
    pub fn acknowledges(&self) -> Appended {
        Appended { term: self.term, matched: Ok(self.verified.min(self.durable)) }
    }

    /// Takes a follower's answer.
    pub fn appended(&mut self, from: usize, Appended { term, matched }: Appended, now: Moment) {
        if term > self.term {
            return self.vote(term);
        }
        let last = self.last();
        let Some(leadership) = self.leadership.as_mut().filter(|_| term == self.term) else { return };
        let progress =
            leadership.followers.entry(from).or_insert(Progress { next: leadership.first, matched: 0, answered_at: now });
        progress.answered_at = now;
        match matched {
            Ok(upto) => {
                progress.matched = progress.matched.max(upto);
                progress.next = progress.next.max(upto + 1);
            }
            Err(hint) => progress.next = hint.clamp(progress.matched + 1, last + 1),
        }
        self.commit();
    }

    /// Whether a write to the disk begins now: one at a time.
    pub fn begins_sync(&mut self) -> bool {
        let begins = self.syncing.is_none() && self.durable < self.last();
        if begins {
            self.syncing = Some(self.last());
        }
        begins
    }

    /// The write is done.
    pub fn synced(&mut self) {
        if let Some(upto) = self.syncing.take() {
            self.durable = self.durable.max(upto);
            self.commit();
        }
    }

    /// Commits what a majority of disks holds, if it ends with an entry of this term.
    fn commit(&mut self) {
        let (Some(leadership), Some((_, configuration))) = (&self.leadership, self.configuration()) else { return };
        let matched = |node: usize| leadership.followers.get(&node).map_or(0, |progress| progress.matched);
        let by_majority = configuration.held_by_majority(|voter| if voter == self.me { self.durable } else { matched(voter) });
        if by_majority > self.committed && self.entry(by_majority).term == self.term {
            self.committed = by_majority;
        }
    }
}
