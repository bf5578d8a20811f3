//! What goes wrong, and how it is put right again.

use rand::RngExt as _;

use crate::call::{Call, Place};
use crate::clock::{MILLISECOND, Moment, SECOND};
use crate::scenario::Severity;
use crate::world::{Event, World};

const LONGEST_CUT: Moment = 6 * SECOND;

/// The end of a fault.
#[derive(Debug)]
pub enum Undo {
    Restart(usize),
    Resume(usize),
    Heal(Vec<(usize, usize)>),
    Disk(usize),
}

impl World {
    /// Something goes wrong, and something else after it.
    pub fn strike(&mut self) {
        if self.now >= self.scenario.trouble {
            return;
        }
        let next = self.random.random_range(0..=2 * self.scenario.fault_every);
        self.schedule(next, Event::Strike);
        let living: Vec<usize> = self.living().collect();
        let n = living[self.random.random_range(0..living.len())];
        let kinds = if self.scenario.severity == Severity::Lossy { 2 } else { 14 };
        match self.random.random_range(0..kinds) {
            0 => self.elect(n, true),
            1 => self.lose_and_double(),
            2 | 3 => self.kill(n),
            4 => {
                if let Some(leader) = living.into_iter().find(|&n| self.nodes[n].log.leads()) {
                    self.kill(leader);
                }
            }
            5 if self.random.random_ratio(1, 3) => living.into_iter().for_each(|n| self.kill(n)),
            5 | 6 => self.stop(n),
            7 => {
                let others = living.into_iter().filter(|&other| other != n);
                // Some for so long that another takes its part.
                let longest = if self.random.random_ratio(1, 3) { 15 * SECOND } else { LONGEST_CUT };
                self.cut(others.flat_map(|other| [(n, other), (other, n)]).collect(), longest);
            }
            8 => {
                // One way only: it hears nobody, or nobody hears it.
                let is_deaf = self.random.random_ratio(1, 2);
                let others = living.into_iter().filter(|&other| other != n);
                self.cut(others.map(|other| if is_deaf { (other, n) } else { (n, other) }).collect(), LONGEST_CUT);
            }
            9 => {
                let other = living[self.random.random_range(0..living.len())];
                if other != n {
                    self.cut(vec![(n, other), (other, n)], LONGEST_CUT);
                }
            }
            10 => {
                self.nodes[n].is_disk_slow = true;
                self.undo_later(3 * SECOND, Undo::Disk(n));
            }
            11 => self.nodes[n].fails_disk = true,
            12 => self.crash_shard(n),
            _ => {
                // Everybody there has enough of it.
                let open: Vec<usize> = (0..self.calls.len()).filter(|&call| self.calls[call].node == n).collect();
                open.into_iter().for_each(|call| self.give_up(call));
            }
        }
    }

    /// While the voters change, the nodes may be cut in two.
    pub fn strike_in_the_midst(&mut self) {
        let may_fail = self.scenario.severity == Severity::Rough && self.now < self.scenario.trouble;
        if may_fail && self.random.random_ratio(1, 4) {
            let living: Vec<usize> = self.living().collect();
            let (some, others): (Vec<usize>, Vec<usize>) = living.into_iter().partition(|_| self.random.random_ratio(1, 2));
            let both_ways = |one: &usize| others.iter().flat_map(|other| [(*one, *other), (*other, *one)]).collect::<Vec<_>>();
            self.cut(some.iter().flat_map(both_ways).collect(), LONGEST_CUT);
        }
    }

    fn undo_later(&mut self, longest: Moment, undo: Undo) {
        let after = self.random.random_range(20 * MILLISECOND..=longest);
        self.schedule(after, Event::Undo(undo));
    }

    fn lose_and_double(&mut self) {
        self.network.lost = self.random.random_range(0..=200);
        self.network.doubled = self.random.random_range(0..=200);
    }

    fn kill(&mut self, n: usize) {
        if self.nodes[n].is_up {
            self.crash(n);
            self.undo_later(4 * SECOND, Undo::Restart(n));
        }
    }

    /// One owning actor crashes, and is there again at once, from the ledger: whoever waited there comes back.
    fn crash_shard(&mut self, n: usize) {
        if !self.nodes[n].serves() {
            return;
        }
        self.witness.disrupted();
        let shard = self.random.random_range(0..self.nodes[n].shards.len());
        let last = self.nodes[n].shards[shard].last_number();
        self.nodes[n].shards[shard] = self.shard(n, shard, last, true);
        self.nodes[n].crashes[shard] += 1;
        let here = |call: &Call| call.node == n && call.is_open() && call.place == Place::Here(shard);
        let calls: Vec<usize> = (0..self.calls.len()).filter(|&call| here(&self.calls[call])).collect();
        calls.into_iter().for_each(|call| self.comes_back(n, call));
        self.lose_replies(n, shard);
        self.house(n);
    }

    fn stop(&mut self, n: usize) {
        if self.nodes[n].is_up && !self.nodes[n].is_stopped {
            self.nodes[n].is_stopped = true;
            self.witness.disrupted();
            self.stands_still(n);
            self.undo_later(6 * SECOND, Undo::Resume(n));
        }
    }

    fn cut(&mut self, ways: Vec<(usize, usize)>, longest: Moment) {
        self.witness.disrupted();
        self.network.cut(&ways);
        self.network_changed();
        self.undo_later(longest, Undo::Heal(ways));
    }

    pub fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Restart(n) if !self.nodes[n].is_up && !self.nodes[n].is_gone => self.restart(n),
            Undo::Resume(n) if self.nodes[n].is_stopped => {
                self.resume(n);
                self.goes_on(n);
            }
            Undo::Heal(ways) => {
                self.network.heal(&ways);
                self.network_changed();
            }
            Undo::Disk(n) => self.nodes[n].is_disk_slow = false,
            Undo::Restart(_) | Undo::Resume(_) => {}
        }
    }
}
