//! What a seed stands for: the cluster, its network and disks, who calls, and what goes wrong.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use turnstile::engine::algorithm::Algorithm;
use turnstile::engine::key::ConnectionKey;
use turnstile::engine::rate::{Limits, RateLimit};

use crate::clock::{MILLISECOND, Moment, SECOND};
use crate::configuration::Rule;

/// A connection, and what one of its windows has.
#[derive(Debug, Clone)]
pub struct Connection {
    pub key: ConnectionKey,
    /// Most callers state the first; some, where there are two, the second.
    pub limits: Vec<Limits>,
    /// The fewest units that one of its limits has.
    pub units: u64,
    /// How many calls are made, and how long apart on average.
    pub calls: usize,
    pub every: Moment,
}

/// How bad it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Messages are lost, doubled and late, and leaders change. No node fails.
    Lossy,
    /// Everything.
    Rough,
}

/// What a seed stands for.
#[derive(Debug)]
pub struct Scenario {
    /// How many nodes begin the log; others come later.
    pub founders: usize,
    /// By which majorities the log is committed, and leaders are elected.
    pub rule: Rule,
    pub shards: u16,
    pub severity: Severity,
    pub connections: Vec<Connection>,
    /// The shortest and the longest way between two nodes.
    pub way: (Moment, Moment),
    /// The shortest and the longest write to a disk.
    pub sync: (Moment, Moment),
    /// Datagrams lost and doubled, of a thousand.
    pub lost: u32,
    pub doubled: u32,
    /// How much faster than time a clock may be, in millionths.
    pub drift: i64,
    /// How long things go wrong.
    pub trouble: Moment,
    /// How often, on average.
    pub fault_every: Moment,
}

impl Scenario {
    pub fn of(seed: u64, rule: Rule) -> (Self, StdRng) {
        let mut random = StdRng::seed_from_u64(seed);
        let severity = if seed.is_multiple_of(4) { Severity::Lossy } else { Severity::Rough };
        let is_slow = random.random_ratio(1, 5);
        let scenario = Self {
            founders: if random.random_ratio(1, 5) { 1 } else { 3 },
            rule,
            shards: random.random_range(1..=2),
            severity,
            connections: (0..random.random_range(2..=6)).map(|place| connection(&mut random, place)).collect(),
            way: if is_slow { (5 * MILLISECOND, 60 * MILLISECOND) } else { (MILLISECOND / 10, 4 * MILLISECOND) },
            sync: if is_slow { (MILLISECOND, 40 * MILLISECOND) } else { (MILLISECOND / 10, 3 * MILLISECOND) },
            lost: random.random_range(0..=50),
            doubled: random.random_range(0..=50),
            drift: 200,
            trouble: 20 * SECOND,
            fault_every: random.random_range(SECOND / 2..=4 * SECOND),
        };
        (scenario, random)
    }
}

fn connection(random: &mut StdRng, place: usize) -> Connection {
    let window = [400, 1_000, 1_000, 3_000, 5_000][random.random_range(0..5)];
    let units = random.random_range(1..=6);
    // Half of all limits are windows, the others buckets of any kind.
    let mut limit = |units: u32, millis: u64| {
        let algorithm = Algorithm::ALL[random.random_range(0..8_usize).saturating_sub(3)];
        RateLimit::new(units, Duration::from_millis(millis)).unwrap().by(algorithm)
    };
    let (first, second, other) = (limit(units, window), limit(units * 2, window * 4), limit(units + 1, window * 2));
    let mut limits = vec![Limits::new([first]).unwrap()];
    match random.random_range(0..6) {
        // Two at once.
        0 => limits = vec![Limits::new([first, second]).unwrap()],
        // Callers that differ.
        1 => limits.push(Limits::new([other]).unwrap()),
        _ => {}
    }
    let every = window * MILLISECOND / u64::from(units);
    Connection {
        key: ConnectionKey::new("sim", &format!("connection {place}")).unwrap(),
        limits,
        units: u64::from(units),
        calls: random.random_range(10..80),
        // From half of what is allowed to twice as much.
        every: every * random.random_range(50..=200) / 100,
    }
}
