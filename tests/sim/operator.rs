//! An operator, who tightens connections' limits and lets them go again, in the midst of the trouble.
//!
//! Limits that are set are never looser than any that a caller states: so whoever judges by the callers' judges all.

use std::num::NonZeroU32;

use rand::RngExt as _;
use turnstile::engine::ledger::Command;
use turnstile::engine::pattern::LimitPattern;
use turnstile::engine::rate::{Limits, RateLimit};

use crate::clock::{MILLISECOND, SECOND};
use crate::world::{Event, World};

impl World {
    /// Says something to whoever leads, and something else later; after the trouble, that everything is as callers say.
    pub fn operate(&mut self) {
        let is_over = self.now >= self.scenario.trouble;
        let after = if is_over { 500 * MILLISECOND } else { self.random.random_range(0..=5 * SECOND) };
        let leader = self.living().find(|&n| self.nodes[n].log.leads());
        if let Some(n) = leader {
            let command = if is_over { self.leftover(n) } else { Some(self.wish()) };
            // What was wished last may still be on its way when nothing is left to be taken back.
            if let Some(command) = command {
                self.submitted(n, n, 0, command);
            }
        }
        self.schedule(after, Event::Operate);
    }

    fn wish(&mut self) -> Command {
        let place = self.random.random_range(0..self.scenario.connections.len());
        let connection = &self.scenario.connections[place];
        let pattern = LimitPattern::new(connection.key.platform(), connection.key.connection()).unwrap();
        if self.random.random_ratio(1, 3) {
            return Command::DeleteLimits { pattern };
        }
        let halved = |limit: &RateLimit| {
            let count = NonZeroU32::new(limit.request_count().get() / 2).unwrap_or(NonZeroU32::MIN);
            RateLimit::new(count.get(), limit.window()).unwrap().by(limit.algorithm())
        };
        let limits = Limits::new(connection.limits.iter().flatten().map(halved)).unwrap();
        Command::SetLimits { pattern, limits }
    }

    /// A wish that takes back one that still holds.
    fn leftover(&self, n: usize) -> Option<Command> {
        let (policies, _) = self.nodes[n].ledger.policies();
        policies.iter().next().map(|(pattern, _)| Command::DeleteLimits { pattern: pattern.clone() })
    }

    /// The node has applied other limits than before.
    pub fn policies_changed(&mut self, n: usize) {
        self.witness.seen.ruled += 1;
        for shard in 0..self.nodes[n].shards.len() {
            self.with_shard(n, shard, |shard, local, view| shard.policies_changed(local, view));
        }
        self.drain(n);
    }
}
