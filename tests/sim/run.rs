//! A run: trouble for a while, then none, until everybody is answered and everything forgotten.

use turnstile::engine::membership::Role;

use crate::clock::{Moment, SECOND};
use crate::configuration::Rule;
use crate::invariants;
use crate::node::Node;
use crate::scenario::Scenario;
use crate::seen::Seen;
use crate::world::{Event, World};

/// How long after the trouble everybody must be answered, and everything forgotten.
const ANSWERED_WITHIN: Moment = 900 * SECOND;

/// What a run has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    pub calls: usize,
    pub started: usize,
    pub entries: usize,
    pub disruptions: u64,
    pub seen: Seen,
    /// How long it took, in its own time.
    pub lasted: Moment,
    /// Of everything that happened.
    pub digest: u64,
    /// The name of an invariant, and what is wrong.
    pub violation: Option<(&'static str, String)>,
}

/// Does what the seed stands for.
pub fn run(seed: u64, rule: Rule) -> Report {
    let (scenario, random) = Scenario::of(seed, rule);
    let trouble = scenario.trouble;
    let mut world = World::new(scenario, random);
    world.load();
    world.plan_turns();
    world.schedule(2 * SECOND, Event::Strike);
    if seed.is_multiple_of(3) {
        world.schedule(2 * SECOND, Event::Operate);
    }
    while world.now < trouble && world.step() {}
    world.network.lost = 0;
    world.network.doubled = 0;
    let until = trouble + ANSWERED_WITHIN;
    let mut looks_at = world.now;
    let mut is_done = false;
    while !is_done && world.now < until && world.step() {
        if world.now >= looks_at {
            looks_at = world.now + SECOND / 2;
            is_done = world.is_done();
        }
    }
    let violation = if is_done { None } else { Some(("liveness", world.unfinished())) };
    let broken = invariants::ALL.iter().find_map(|(name, check)| check(&world).map(|what| (*name, what)));
    Report {
        seed,
        calls: world.calls.len(),
        started: world.witness.accounts.iter().map(|account| account.started.len()).sum(),
        entries: world.witness.entries(),
        disruptions: world.witness.disruptions,
        seen: Seen { cut_off: world.nodes.iter().map(|node| node.log.cut_off as u64).sum(), ..world.witness.seen },
        lasted: world.now,
        digest: world.digest,
        violation: broken.or(violation),
    }
}

impl World {
    /// Whether all calls have been made and answered, and nobody keeps anything.
    fn is_done(&self) -> bool {
        let all_up = self.living().all(|n| self.nodes[n].serves() && !self.nodes[n].is_stopped);
        let last_call = self.calls.iter().all(|call| !call.is_open());
        let keeps_nothing = |node: &Node| {
            let is_replica = node.role() != Role::Observer;
            node.residents() == 0 && node.proposer.is_idle() && !(is_replica && node.ledger.tracked() > 0)
        };
        let nothing_kept = self.living().all(|n| keeps_nothing(&self.nodes[n]));
        let rules_nothing = |node: &Node| node.role() == Role::Observer || node.ledger.policies().0.iter().next().is_none();
        let nothing_ruled = self.living().all(|n| rules_nothing(&self.nodes[n]));
        all_up && nothing_ruled && last_call && nothing_kept && self.no_call_comes() && self.unsettled().is_none()
    }

    fn unfinished(&self) -> String {
        let open: Vec<String> = self.calls.iter().filter(|call| call.is_open()).take(3).map(|call| format!("{call:?}")).collect();
        let state = |n: usize| {
            let node = &self.nodes[n];
            let (up, tracked, epoch, leads) = (node.serves(), node.ledger.tracked(), node.ring.epoch(), node.log.leads());
            let (residents, role, idle) = (node.residents(), node.role(), node.proposer.is_idle());
            let of_log = format!("{role:?}, leads {leads}, applied {}, {:?}", node.applied, node.log.configuration());
            format!("{n}: serves {up}, {tracked} tracked, {residents} resident, idle {idle}, {epoch:?}, {of_log}")
        };
        let nodes: Vec<String> = self.living().map(state).collect();
        format!("{:?}; open calls: {open:#?}; nodes: {nodes:#?}", self.unsettled())
    }
}
