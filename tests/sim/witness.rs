//! What happened, written down for the invariants. It sees everything at once, as nobody in the cluster can.

use std::collections::BTreeMap;
use std::rc::Rc;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::{Charge, Epoch, Grant, Incarnation, NodeId, RequestId};
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::ledger::{Action, Answer, BatchNumber, Command, Proposal, Verdict};
use turnstile::engine::time::LedgerTime;

use crate::call::Call;
use crate::clock::Moment;
use crate::configuration::Configuration;
use crate::keepers::Keepers;
use crate::log::{Body, Entry};
use crate::scenario::{Connection, Scenario};
use crate::seen::Seen;

/// A charge that the log has.
#[derive(Debug, Clone)]
pub struct Charged {
    pub owner: Incarnation,
    pub charge: Charge,
    pub cost: Cost,
    /// What of it was given back.
    pub returned: Cost,
    /// What of it was let go.
    pub released: Cost,
}

/// A release.
#[derive(Debug, Clone)]
pub struct Released {
    pub request: RequestId,
    pub grant: Grant,
    pub by: Incarnation,
    /// The ring of its owner, and how often that had crashed.
    pub life: (Epoch, u64),
}

/// A start of a call.
#[derive(Debug, Clone)]
pub struct Started {
    pub request: RequestId,
    pub grant: Grant,
    /// When the platform counts it.
    pub reaches_at: Moment,
}

/// One connection's history.
#[derive(Debug)]
pub struct Account {
    pub connection: Connection,
    pub charged: Vec<Charged>,
    pub released: Vec<Released>,
    pub started: Vec<Started>,
}

/// What an entry did.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    term: u64,
    stamp: Option<LedgerTime>,
    configuration: Option<Rc<Configuration>>,
    answers: Vec<Answer>,
    /// Ledger time then.
    now: LedgerTime,
}

#[derive(Debug)]
pub struct Witness {
    pub accounts: Vec<Account>,
    /// The log as it was first applied.
    log: Vec<Applied>,
    /// Who has kept it.
    pub keepers: Keepers,
    answered: BTreeMap<(Incarnation, BatchNumber), Vec<Verdict>>,
    /// Verdicts that were given twice to one batch.
    pub applied_twice: Vec<String>,
    /// Places of the log where replicas differ.
    pub differing: Vec<String>,
    /// Stamps that go back.
    pub backwards: Vec<String>,
    /// How often something was seen that a run is about.
    pub seen: Seen,
    /// Something happened after which slots may be lost on their way.
    pub disruptions: u64,
    /// When the ring moved, in ledger time.
    pub moves: BTreeMap<Epoch, LedgerTime>,
    /// The runs that own keys, by what was applied.
    members: BTreeMap<NodeId, Incarnation>,
    epoch: Epoch,
    /// Charges of somebody who was no owner by the ring in force.
    unfenced: Vec<String>,
    /// Runs that were told that a later one has joined.
    pub superseded: u64,
}

impl Witness {
    pub fn new(scenario: &Scenario) -> Self {
        let account = |connection: &Connection| Account {
            connection: connection.clone(),
            charged: Vec::new(),
            released: Vec::new(),
            started: Vec::new(),
        };
        Self {
            accounts: scenario.connections.iter().map(account).collect(),
            log: Vec::new(),
            keepers: Keepers::default(),
            answered: BTreeMap::new(),
            applied_twice: Vec::new(),
            differing: Vec::new(),
            backwards: Vec::new(),
            seen: Seen::default(),
            disruptions: 0,
            moves: BTreeMap::new(),
            members: BTreeMap::new(),
            epoch: Epoch::default(),
            unfenced: Vec::new(),
            superseded: 0,
        }
    }

    pub const fn disrupted(&mut self) {
        self.disruptions += 1;
    }

    pub const fn superseded(&mut self) {
        self.superseded += 1;
    }

    /// How many entries were applied anywhere.
    pub fn entries(&self) -> usize {
        self.log.len()
    }

    /// A node has applied the entry at this index.
    pub fn applied(&mut self, index: usize, entry: &Entry, answers: &[Answer], now: LedgerTime) {
        let (commands, configuration) = match &entry.body {
            Body::Blank => (None, None),
            Body::Commands(commands) => (Some(commands), None),
            Body::Configuration(configuration) => (None, Some(configuration)),
        };
        let stamp = commands.map(|entry| entry.stamp);
        let seen = Applied { term: entry.term, stamp, configuration: configuration.cloned(), answers: answers.to_vec(), now };
        if let Some(first) = self.log.get(index - 1) {
            if *first != seen {
                self.differing.push(format!("entry {index}: {first:?} and {seen:?}"));
            }
            return;
        }
        assert_eq!(self.log.len() + 1, index, "an entry was left out");
        if self.log.last().is_some_and(|before| before.now > now) {
            self.backwards.push(format!("entry {index}: {now:?}"));
        }
        self.log.push(seen);
        if let Some(configuration) = configuration {
            self.keepers.configured(index, configuration, &mut self.seen);
        }
        for (command, answer) in commands.into_iter().flat_map(|entry| &entry.commands).zip(answers) {
            self.moved(command, answer, now);
            if let (Command::Propose(batch), Answer::Verdicts(verdicts)) = (command, answer) {
                // An answer from memory changes nothing.
                match self.answered.insert((batch.owner, batch.number), verdicts.clone()) {
                    Some(before) if before == *verdicts => self.seen.from_memory += 1,
                    before => {
                        if before.is_some() {
                            self.applied_twice.push(format!("entry {index}: batch {:?} of {:?}", batch.number, batch.owner));
                        }
                        let proposals = batch.proposals.iter().zip(verdicts);
                        proposals.for_each(|(proposal, verdict)| self.judged(batch.owner, proposal, verdict));
                    }
                }
            }
        }
    }

    fn moved(&mut self, command: &Command, answer: &Answer, now: LedgerTime) {
        let (Answer::Joined { epoch } | Answer::MarkedDown { epoch }) = answer else { return };
        match command {
            Command::Join { incarnation, .. } => drop(self.members.insert(incarnation.node, *incarnation)),
            Command::MarkDown { incarnation } if self.members.get(&incarnation.node) == Some(incarnation) => {
                self.members.remove(&incarnation.node);
            }
            _ => {}
        }
        self.epoch = *epoch;
        self.moves.entry(*epoch).or_insert(now);
    }

    /// Charges of somebody who was no owner by the ring in force.
    pub fn unfenced(&self) -> Option<&String> {
        self.unfenced.first()
    }

    fn judged(&mut self, owner: Incarnation, proposal: &Proposal, verdict: &Verdict) {
        let is_owner = proposal.epoch == self.epoch && self.members.get(&owner.node) == Some(&owner);
        if !is_owner && !matches!(verdict, Verdict::Moved { .. }) {
            self.unfenced.push(format!("{owner:?} by {:?} in {:?}: {proposal:?}", proposal.epoch, self.epoch));
        }
        if matches!(verdict, Verdict::Moved { .. }) {
            self.seen.moved += 1;
            return;
        }
        let Some(account) = self.account(&proposal.key) else { return };
        let Action::Slots { returns, ask } = &proposal.action else { return };
        for given_back in returns {
            let charged =
                account.charged.iter_mut().find(|charged| charged.owner == owner && charged.charge == given_back.charge);
            if let Some(charged) = charged {
                charged.returned = charged.returned.plus(given_back.cost);
            }
        }
        if let (Verdict::Charged { stamp, cost }, Some(ask)) = (verdict, ask) {
            let charge = Charge { stamp: *stamp, delivery: ask.delivery };
            // After an owner's crash, what it had asked for may stand in one entry with what its successor asks for.
            match account.charged.iter_mut().find(|charged| charged.owner == owner && charged.charge == charge) {
                Some(charged) => charged.cost = charged.cost.plus(*cost),
                None => account.charged.push(Charged { owner, charge, cost: *cost, returned: Cost::ZERO, released: Cost::ZERO }),
            }
        }
    }

    fn account(&mut self, key: &ConnectionKey) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.connection.key == *key)
    }

    pub fn released(&mut self, key: &ConnectionKey, request: RequestId, grant: &Grant, by: Incarnation, life: (Epoch, u64)) {
        if let Some(account) = self.account(key) {
            account.released.push(Released { request, grant: *grant, by, life });
        }
    }

    pub fn started(&mut self, connection: usize, call: &Call, grant: &Grant, reaches_at: Moment) {
        let started = Started { request: call.request, grant: *grant, reaches_at };
        self.accounts[connection].started.push(started);
    }
}
