//! Servers in virtual time whose histories are judged: one that keeps the promises, and some that break one.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// The limit: so many in a window of so many milliseconds.
const COUNT: usize = 2;
const WINDOW: u64 = 1000;
/// How long a grant is on its way at most, in milliseconds.
const DELIVERY: u64 = 20;
/// What is kept for its way to the platform, in milliseconds.
const GUARD: u64 = 10;
const REQUESTS: u64 = 30;

/// What a server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Counts in windows that begin at whole seconds.
    FixedWindow,
    /// Counts from the release, whatever the way takes.
    NoMargin,
    /// The last one first.
    Lifo,
    /// In the order of arrival, however urgent.
    IgnoresNiceness,
    /// Forgets somebody.
    Loses,
    /// Lets somebody through twice.
    AnswersTwice,
    /// Numbers begin anew in mid-run.
    ForgetsItsNumbers,
    /// Does nothing for three seconds.
    Sleeps,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    request: u64,
    niceness: u32,
    arrival: u64,
}

/// A run of a server. Whether the owner's numbers are written down is up to the clients.
struct Server {
    fault: Fault,
    random: StdRng,
    knows_numbers: bool,
    lines: Vec<String>,
    queue: Vec<Waiter>,
    releases: Vec<u64>,
    numbers: u64,
    served: u64,
}

impl Server {
    fn history(fault: Fault, seed: u64) -> Vec<String> {
        let mut random = StdRng::seed_from_u64(seed);
        let knows_numbers = random.random();
        // (moment, request, niceness) of those on their way to the server, and who leaves when.
        let mut coming: BTreeMap<u64, Vec<(u64, u32)>> = BTreeMap::new();
        let mut leaving: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut lines = Vec::new();
        for request in 0..REQUESTS {
            let (at, niceness) = (random.random_range(0..6000), random.random_range(0..3));
            lines.push(enqueue(request, niceness, at));
            let arrives = at + random.random_range(0..5);
            coming.entry(arrives).or_default().push((request, niceness));
            if random.random_ratio(1, 10) {
                leaving.entry(arrives + random.random_range(5..3000)).or_default().push(request);
            }
        }
        let (queue, releases) = (Vec::new(), Vec::new());
        let mut server = Self { fault, random, knows_numbers, lines, queue, releases, numbers: 0, served: 0 };
        for now in 0..60_000 {
            for (request, niceness) in coming.remove(&now).unwrap_or_default() {
                server.arrive(request, niceness, now);
            }
            for request in leaving.remove(&now).unwrap_or_default() {
                server.leave(request, now);
            }
            while server.has_room(now) && server.release(now) {}
        }
        server.lines.push(end(60_000));
        server.lines
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn arrive(&mut self, request: u64, niceness: u32, now: u64) {
        let arrival = self.number();
        self.lines.push(queued(request, now));
        if self.fault != Fault::Loses || request != REQUESTS / 2 {
            self.queue.push(Waiter { request, niceness, arrival });
        }
    }

    fn leave(&mut self, request: u64, now: u64) {
        let before = self.queue.len();
        self.queue.retain(|waiter| waiter.request != request);
        if self.queue.len() < before {
            self.lines.push(left(request, now));
        }
    }

    fn has_room(&self, now: u64) -> bool {
        let kept = if self.fault == Fault::NoMargin { 0 } else { DELIVERY + GUARD };
        let counts = |released: &&u64| {
            if self.fault == Fault::FixedWindow { **released / WINDOW == now / WINDOW } else { **released + WINDOW + kept > now }
        };
        let sleeps = self.fault == Fault::Sleeps && (3000..6000).contains(&now);
        !sleeps && self.releases.iter().filter(counts).count() < COUNT
    }

    /// Lets the next one go, if there is one.
    fn release(&mut self, now: u64) -> bool {
        let order = |waiter: &Waiter| {
            let niceness = if self.fault == Fault::IgnoresNiceness { 0 } else { waiter.niceness };
            (niceness, if self.fault == Fault::Lifo { u64::MAX - waiter.arrival } else { waiter.arrival })
        };
        let Some(place) = (0..self.queue.len()).min_by_key(|place| order(&self.queue[*place])) else { return false };
        let Waiter { request, arrival, .. } = self.queue.remove(place);
        if self.fault == Fault::ForgetsItsNumbers && self.served == REQUESTS / 3 {
            self.numbers = 0;
        }
        let release = self.number();
        self.releases.push(now);
        self.served += 1;
        // A server without a margin hands out what takes its time, now and then.
        let way = self.random.random_range(0..=DELIVERY);
        let numbers = self.knows_numbers.then_some((7, arrival, release));
        let answers = if self.fault == Fault::AnswersTwice && self.served == 5 { 2 } else { 1 };
        for _ in 0..answers {
            self.lines.push(granted(request, 0, now + way, numbers));
        }
        true
    }
}

/// Whether a run of some seeds is judged to break this promise.
fn is_found(fault: Fault, promise: &str) -> bool {
    (0..20).any(|seed| verdict(&Server::history(fault, seed)).to_string().contains(&format!("FAIL  {promise}")))
}

#[test]
fn a_server_that_keeps_the_promises_is_never_blamed() {
    for seed in 0..200 {
        let verdict = verdict(&Server::history(Fault::Nothing, seed));
        assert_eq!(verdict.judgement(), Judgement::Holds, "seed {seed}: {verdict}");
    }
}

#[test]
fn a_server_that_breaks_a_promise_is_found_by_what_it_breaks() {
    for (fault, promise) in [
        (Fault::FixedWindow, "I1 limit"),
        (Fault::NoMargin, "I1 limit"),
        (Fault::Lifo, "I3 order"),
        (Fault::IgnoresNiceness, "I2 priority"),
        (Fault::Loses, "I4 answer"),
        (Fault::AnswersTwice, "I5 once"),
        (Fault::ForgetsItsNumbers, "I5 once"),
        (Fault::Sleeps, "I6 no waste"),
    ] {
        assert!(is_found(fault, promise), "{fault:?} does not break {promise}");
        assert!(!is_found(Fault::Nothing, promise));
    }
}

#[test]
fn priority_is_judged_without_the_owners_numbers_too() {
    let without_numbers = |history: &Vec<String>| history.iter().all(|line| !line.contains("\"tenure\""));
    let histories = (0..200).map(|seed| Server::history(Fault::IgnoresNiceness, seed)).filter(without_numbers);
    let found = histories.filter(|history| verdict(history).judgement() == Judgement::Violated).count();
    assert!(found > 0, "nobody who was passed over and gave up was noticed");
}
