//! One process of a node: joins, asks, holds what it was answered, and forgets everything when it dies.
//!
//! Its owner, its router and its worker are one here. What lies between them, a slot on its way that may come too late, is the time
//! between [`Process::settle`] and the start.

use std::num::NonZeroU64;

use turnstile::engine::grant::{Epoch, Incarnation, NodeId};
use turnstile::engine::time::LedgerTime;

use super::log::{Connection, Log, Message, Said, Tick};
use super::variant::Variant;

/// What waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flight {
    pub message: Message,
    pub proposed_at: Tick,
    /// Whether it was sent a second time.
    pub is_repeated: bool,
}

/// A slot that may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Where it was charged; nowhere, in one broken variant.
    pub stamp: Option<LedgerTime>,
    /// Under which run it was asked for.
    pub run: Incarnation,
    pub proposed_at: Tick,
}

/// The newest ring that a process has applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    pub epoch: Epoch,
    pub owns: bool,
    /// How many charges it has seen.
    pub seen: u8,
}

impl View {
    /// What a process of `node` sees when it has applied all there is.
    pub fn newest(node: NodeId, log: &Log, connection: &Connection) -> Self {
        Self { epoch: log.epoch(), owns: log.owner(connection) == Some(node), seen: log.charges }
    }
}

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    pub run: Incarnation,
    /// `None` until it has joined.
    pub view: Option<View>,
    /// Of the next batch.
    pub number: NonZeroU64,
    pub flight: Option<Flight>,
    pub slot: Option<Slot>,
    /// A slot that nobody took.
    pub give_back: Option<LedgerTime>,
    /// What the last answer said if it refused, for whoever watches.
    pub refused: Option<Said>,
}

/// What the owner asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// A slot, after giving back what it has to.
    Slot,
    /// Only to give back.
    GiveBack,
}

impl Process {
    /// A process that wants to join.
    pub fn started(run: Incarnation, log: &Log) -> Self {
        let mut process =
            Self { run, view: None, number: NonZeroU64::MIN, flight: None, slot: None, give_back: None, refused: None };
        process.join(log);
        process
    }

    fn join(&mut self, log: &Log) {
        (self.view, self.number) = (None, NonZeroU64::MIN);
        // When it was sent matters to nobody.
        self.send(Message::Join { run: self.run, seen: log.epoch() }, 0);
    }

    fn send(&mut self, message: Message, proposed_at: Tick) {
        self.flight = Some(Flight { message, proposed_at, is_repeated: false });
    }

    /// Whether it believes, by the ring that it sees, that it may propose this.
    pub fn may_propose(&self, wish: Wish, view: View, batches: u64) -> bool {
        let has_something = wish == Wish::Slot || self.give_back.or(self.slot.and_then(|slot| slot.stamp)).is_some();
        view.owns && self.flight.is_none() && self.number.get() <= batches && has_something
    }

    /// Proposes by what it has seen. A slot that it still holds nobody takes: it goes back, and if another one was to go back as well, that
    /// is lost, as in a crash. In one broken variant the slot that is asked for is released at once.
    pub fn propose(&mut self, wish: Wish, view: View, variant: Variant, now: Tick) {
        self.view = Some(view);
        let View { epoch, seen, .. } = view;
        let unused = self.slot.take().and_then(|slot| slot.stamp);
        let (asks, give_back) = (wish == Wish::Slot, unused.or(self.give_back.take()));
        self.send(Message::Propose { run: self.run, number: self.number, epoch, seen, give_back, asks }, now);
        if asks && variant == Variant::ReleaseBeforeCommit {
            self.slot = Some(Slot { stamp: None, run: self.run, proposed_at: now });
        }
    }

    /// Whether it waits to become a member.
    pub fn is_joining(&self) -> bool {
        self.flight.is_some_and(|flight| matches!(flight.message, Message::Join { .. }))
    }

    /// Whether it waits for the answer to this.
    pub fn awaits(&self, message: Message) -> bool {
        self.flight.is_some_and(|flight| flight.message == message)
    }

    /// Reads the answer to what is in flight. False when the process ends by it: a later run of its node has joined.
    pub fn settle(&mut self, said: Said, log: &Log, connection: &Connection, variant: Variant) -> bool {
        let Some(flight) = self.flight.take() else { return true };
        self.refused = None;
        match said {
            Said::Joined => self.view = Some(View::newest(self.run.node, log, connection)),
            Said::Outdated => {
                self.refused = Some(said);
                self.join(log);
            }
            Said::Superseded => return false,
            Said::NotMember => {
                // What it had to give back it still has: the ledger won't take it from another run.
                self.refuse(flight.message, said);
                self.run = self.run.next();
                self.join(log);
            }
            Said::Charged { .. } | Said::NotBefore | Said::Done | Said::Moved => {
                self.number = self.number.saturating_add(1);
                if said == Said::Moved {
                    self.refuse(flight.message, said);
                }
                if let Said::Charged { stamp } = said
                    && variant != Variant::ReleaseBeforeCommit
                {
                    self.slot = Some(Slot { stamp: Some(stamp), run: self.run, proposed_at: flight.proposed_at });
                }
            }
        }
        true
    }

    fn refuse(&mut self, message: Message, said: Said) {
        self.refused = Some(said);
        if let Message::Propose { give_back, .. } = message {
            self.give_back = give_back;
        }
    }

    /// Whether a worker may start what the process holds.
    pub fn may_start(&self, connection: &Connection, variant: Variant, now: Tick) -> bool {
        let is_stale = |slot: &Slot| now > slot.proposed_at + connection.delivery && variant != Variant::NoDeliveryBound;
        self.slot.as_ref().is_some_and(|slot| !is_stale(slot))
    }
}
