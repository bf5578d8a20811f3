//! Who leads, and what leaders make of silence. By the same rules as the product's, but that one election is one event.

use rand::RngExt as _;
use turnstile::engine::ledger::Command;

use crate::clock::{MILLISECOND, Moment};
use crate::world::World;

const SILENT_FOR: Moment = 500 * MILLISECOND;
const LOOKS_WITHIN: Moment = 200 * MILLISECOND;

impl World {
    /// Makes a voter leader, if a majority that it reaches votes for it; in the midst of a change, of both. The impatient don't care whether there is a
    /// leader.
    pub fn elect(&mut self, n: usize, is_impatient: bool) {
        let node = &self.nodes[n];
        let age = node.log.age();
        let votes = |v: usize| {
            let voter = &self.nodes[v];
            let is_free = is_impatient || self.now - voter.heard_leader_at > 150 * MILLISECOND;
            v == n || voter.is_up && !voter.is_stopped && self.network.connects(n, v) && voter.log.age() <= age && is_free
        };
        let may_stand = node.is_up && !node.is_stopped && node.may_stand();
        let Some((_, configuration)) = node.log.configuration().filter(|(_, by_log)| may_stand && by_log.has_voter(n)) else {
            return;
        };
        if !configuration.is_agreed(votes) {
            return;
        }
        let voters: Vec<usize> = configuration.asked().into_iter().filter(|&v| votes(v)).collect();
        let term = voters.iter().map(|&v| self.nodes[v].log.term).max().unwrap() + 1;
        for v in voters {
            self.nodes[v].heard_leader_at = self.now;
            self.nodes[v].patience = self.random.random_range(200..400) * MILLISECOND;
            if v != n {
                self.nodes[v].log.vote(term);
                self.step_down(v);
            }
        }
        self.nodes[n].inbox.clear();
        self.nodes[n].writing = None;
        self.nodes[n].log.lead(term);
        self.witness.keepers.elected(term, n);
        self.broadcast(n);
        self.write_to_disk(n);
    }

    /// Marks members down that are silent, while this node leads.
    pub fn watch(&mut self, n: usize) {
        let (now, id) = (self.now, self.nodes[n].id);
        let node = &mut self.nodes[n];
        if now - std::mem::replace(&mut node.looked_at, now) > LOOKS_WITHIN {
            node.watched.clear();
        }
        let members: Vec<_> = node.ledger.members().filter(|member| member.node != id).collect();
        node.watched.retain(|member, _| members.contains(member));
        let leads = self.leads(n);
        for member in members {
            let since = *self.nodes[n].watched.entry(member).or_insert(now);
            let other = self.index_of(member.node);
            let silent_since = self.nodes[n].heard.get(&other).map_or(since, |heard| heard.at.max(since));
            if leads && now - silent_since > SILENT_FOR {
                self.nodes[n].watched.insert(member, now);
                self.submitted(n, n, 0, Command::MarkDown { incarnation: member });
            }
        }
    }
}
