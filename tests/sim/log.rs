//! A simple ordered log: terms, replication, truncation, commits by a majority of disks. Who leads is decided by the world (see `elections`), which
//! follows the same rule as Raft does: a majority whose logs are no newer.
//!
//! Indices count from 1. What is not on the disk yet is lost in a crash.

use std::rc::Rc;

use turnstile::engine::ledger::LedgerEntry;

/// An entry; blank ones begin a leader's term.
#[derive(Debug, Clone)]
pub struct Entry {
    pub term: u64,
    pub body: Option<Rc<LedgerEntry>>,
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

#[derive(Debug, Clone, Default)]
struct Leadership {
    next: Vec<usize>,
    matched: Vec<usize>,
}

/// One node's log.
#[derive(Debug, Clone)]
pub struct Log {
    me: usize,
    nodes: usize,
    pub term: u64,
    entries: Vec<Entry>,
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
    pub fn new(me: usize, nodes: usize) -> Self {
        Self {
            me,
            nodes,
            term: 0,
            entries: Vec::new(),
            durable: 0,
            committed: 0,
            leadership: None,
            leader: None,
            verified: 0,
            syncing: None,
            cut_off: 0,
        }
    }

    /// What a crash leaves: the disk. What was committed is learnt again.
    pub fn crash(&mut self) {
        self.entries.truncate(self.durable);
        *self = Self {
            term: self.term,
            durable: self.durable,
            cut_off: self.cut_off,
            entries: std::mem::take(&mut self.entries),
            ..Self::new(self.me, self.nodes)
        };
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
        let next = vec![self.last() + 1; self.nodes];
        (self.leadership, self.leader) = (Some(Leadership { next, matched: vec![0; self.nodes] }), Some(self.me));
        self.append(None);
    }

    /// Adds an entry of this leader's.
    pub fn append(&mut self, body: Option<Rc<LedgerEntry>>) -> usize {
        self.entries.push(Entry { term: self.term, body });
        self.verified = self.last();
        self.last()
    }

    /// What this leader sends to a follower now. A heartbeat, when there is nothing new.
    pub fn to_send(&self, to: usize) -> Option<Append> {
        let next = *self.leadership.as_ref()?.next.get(to)?;
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
                self.entries.truncate(index - 1);
                self.durable = self.durable.min(index - 1);
                self.syncing = self.syncing.map(|upto| upto.min(index - 1));
            }
            if index > self.last() {
                self.entries.push(entry);
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
    pub fn appended(&mut self, from: usize, Appended { term, matched }: Appended) {
        if term > self.term {
            return self.vote(term);
        }
        let last = self.last();
        let Some(leadership) = self.leadership.as_mut().filter(|_| term == self.term) else { return };
        match matched {
            Ok(upto) => {
                leadership.matched[from] = leadership.matched[from].max(upto);
                leadership.next[from] = leadership.next[from].max(upto + 1);
            }
            Err(hint) => leadership.next[from] = hint.clamp(leadership.matched[from] + 1, last + 1),
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
        let Some(leadership) = &self.leadership else { return };
        let mut held = leadership.matched.clone();
        held[self.me] = self.durable;
        held.sort_unstable();
        let by_majority = held[(self.nodes - 1) / 2];
        if by_majority > self.committed && self.entry(by_majority).term == self.term {
            self.committed = by_majority;
        }
    }
}
