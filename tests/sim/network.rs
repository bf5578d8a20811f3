//! What lies between the nodes: how long a message takes, what is lost, what is cut. Either way of each pair can be cut by itself.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::clock::{Moment, SECOND};

#[derive(Debug)]
pub struct Network {
    /// The shortest and the longest way.
    pub way: (Moment, Moment),
    /// Datagrams lost and doubled, of a thousand.
    pub lost: u32,
    pub doubled: u32,
    /// From, to: how many faults cut it.
    cuts: BTreeMap<(usize, usize), u32>,
}

impl Network {
    pub const fn new(way: (Moment, Moment), lost: u32, doubled: u32) -> Self {
        Self { way, lost, doubled, cuts: BTreeMap::new() }
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|faults| *faults > 0)
    }

    /// Whether they reach each other.
    pub fn connects(&self, one: usize, other: usize) -> bool {
        !self.is_cut(one, other) && !self.is_cut(other, one)
    }

    pub fn cut(&mut self, ways: &[(usize, usize)]) {
        ways.iter().for_each(|way| *self.cuts.entry(*way).or_default() += 1);
    }

    pub fn heal(&mut self, ways: &[(usize, usize)]) {
        for way in ways {
            let faults = self.cuts.get_mut(way).expect("what is healed was cut");
            *faults -= 1;
            if *faults == 0 {
                self.cuts.remove(way);
            }
        }
    }

    /// How long a message takes.
    pub fn delay(&self, random: &mut StdRng) -> Moment {
        let (shortest, longest) = self.way;
        let late = if random.random_ratio(1, 100) { 4 } else { 1 };
        random.random_range(shortest..=longest) * late
    }

    /// The delays of the copies of a datagram that arrive: none, one or two.
    pub fn copies(&self, random: &mut StdRng, from: usize, to: usize) -> Vec<Moment> {
        if self.is_cut(from, to) || from != to && random.random_ratio(self.lost, 1000) {
            return Vec::new();
        }
        let mut delays = vec![self.delay(random)];
        if random.random_ratio(self.doubled, 1000) {
            // Some come when nobody thinks of them any more.
            let late = if random.random_ratio(1, 4) { random.random_range(0..5 * SECOND) } else { 0 };
            delays.push(5 * self.delay(random) + late);
        }
        delays
    }
}
