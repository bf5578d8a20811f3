//! The cluster in one thread, from one seed: the product's own owners, ledgers, rings and clocks of ledger time, over a simple log, network and disks that
//! do whatever such things do.
//!
//! ```text
//! calls ─► routing ─► streams ─► ownership (engine::shard) ─► proposer ─► consensus ─► log ─► engine::ledger
//! ```
//!
//! A run has a phase of trouble and a phase without, in which everybody must be answered. `witness` writes down what happens; `invariants` judge it, a file
//! for each. A seed gives the same run each time: `make sim SEED=…` replays one.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test stops where it finds what it did not expect"
)]

mod call;
mod clock;
mod configuration;
mod consensus;
mod drain;
mod elections;
mod faults;
mod growth;
mod invariants;
mod keepers;
mod log;
mod network;
mod node;
mod observers;
mod operator;
mod ownership;
mod proposer;
mod reconcile;
mod routing;
mod run;
mod scenario;
mod seen;
mod session;
mod standing;
mod streams;
mod witness;
mod world;

use configuration::Rule;
use run::{Report, run};
use seen::Seen;

/// How many seeds every test run tries, and from which on.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}: it takes a number")))
}

/// Runs a seed. What it finds for itself, by an assertion, counts as well.
fn judged(seed: u64, rule: Rule) -> Report {
    std::panic::catch_unwind(|| run(seed, rule)).unwrap_or_else(|panic| {
        let said =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        Report { seed, violation: Some(("an assertion", said.unwrap_or_default())), ..Report::default() }
    })
}

/// Runs these seeds on all cores; the reports in order.
fn run_all(first: u64, count: u64, rule: Rule) -> Vec<Report> {
    let next = std::sync::atomic::AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let work = || {
            let mut reports = Vec::new();
            loop {
                let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if seed >= first + count {
                    return reports;
                }
                reports.push(judged(seed, rule));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("runs are caught")).collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports
}

#[test]
fn no_seed_breaks_a_promise() {
    let (first, count) = match number("TURNSTILE_TEST_SEED") {
        Some(seed) => (seed, 1),
        None => (number("TURNSTILE_TEST_FIRST").unwrap_or(1), number("TURNSTILE_TEST_SEEDS").unwrap_or(SEEDS)),
    };
    let reports = run_all(first, count, Rule::Joint);
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{count} seeds from {first} on: {} calls, {} started, {} entries, {} disruptions, {} s of their time",
        sum(|report| report.calls as u64),
        sum(|report| report.started as u64),
        sum(|report| report.entries as u64),
        sum(|report| report.disruptions),
        sum(|report| report.lasted) / clock::SECOND,
    );
    let seen = reports.iter().fold(Seen::default(), |seen, report| seen.plus(report.seen));
    println!("{seen:?}");
    let broken: Vec<&Report> = reports.iter().filter(|report| report.violation.is_some()).collect();
    for Report { seed, violation, .. } in broken.iter().take(5) {
        let (name, what) = violation.as_ref().unwrap();
        println!("seed {seed} breaks {name}: {what}");
    }
    let seeds: Vec<(u64, &str)> = broken.iter().map(|report| (report.seed, report.violation.as_ref().unwrap().0)).collect();
    let without: Vec<u64> = reports.iter().filter(|report| !report.seen.has_growth()).map(|report| report.seed).collect();
    assert!(without.is_empty(), "nobody came, or nobody went, in the runs of the seeds {without:?}");
    assert!(count < SEEDS || seen.is_all(), "something never happened: {seen:?}");
    assert!(seeds.is_empty(), "{} of {count} seeds break a promise: {seeds:?}", seeds.len());
}

/// How many seeds may pass before a fault is found.
const SEEDS_PER_FAULT: u64 = 3_000;

/// Runs seeds until one breaks a promise; what is wrong with the first.
fn first_broken(rule: Rule) -> Option<(u64, &'static str, String)> {
    // What is found by an assertion is printed, once.
    std::panic::set_hook(Box::new(|_| {}));
    let batches = (1..=SEEDS_PER_FAULT).step_by(4).map(|first| run_all(first, 4, rule));
    let found = batches.flatten().find(|report| report.violation.is_some());
    drop(std::panic::take_hook());
    found.and_then(|Report { seed, violation, .. }| violation.map(|(name, what)| (seed, name, what)))
}

/// Plants, looks, and tells; whether it was found.
fn is_found(planted: &str, rule: Rule) -> bool {
    match first_broken(rule) {
        Some((seed, name, what)) => {
            let what: String = what.chars().take(140).collect();
            println!("{planted:<26} found by seed {seed:<5} {name}: {what}");
            true
        }
        None => {
            println!("{planted:<26} NOT FOUND in {SEEDS_PER_FAULT} seeds");
            false
        }
    }
}

#[cfg(feature = "planted-faults")]
#[test]
fn every_planted_fault_is_found() {
    use turnstile::engine::fault::Fault;

    let plant = |fault: Fault| {
        fault.plant();
        is_found(&format!("{fault:?}"), Rule::Joint)
    };
    let missed: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| !plant(*fault)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn majorities_of_the_wrong_nodes_are_found() {
    for rule in [Rule::NextVotersOnly, Rule::LearnersVote] {
        assert!(is_found(&format!("{rule:?}"), rule));
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in [3, 4] {
        assert_eq!(run(seed, Rule::Joint), run(seed, Rule::Joint));
    }
}
