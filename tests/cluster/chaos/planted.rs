//! Bugs planted in real processes: chaos must find them, too.

use std::process::Command;

use turnstile::engine::fault::Fault;

use super::nemesis::Nemesis;

/// Says to a process, and to those that it starts, which bug is planted in it.
const PLANTED: &str = "TURNSTILE_TEST_PLANTED";

/// What brings each out. The others need what can't be arranged from outside, a message or an end at one certain moment, or break only what nobody outside
/// can judge, as the order across a failover.
const FOUND_BY: [(Fault, Nemesis); 6] = [
    (Fault::ReleaseBeforeCommit, Nemesis::CutAll),
    (Fault::DeadOwnersSlotsGivenBack, Nemesis::KillOwner),
    (Fault::FixedWindow, Nemesis::Nothing),
    (Fault::Lifo, Nemesis::Nothing),
    (Fault::NoDeduplication, Nemesis::LateRetries),
    (Fault::MarginIgnored, Nemesis::Nothing),
];

/// How many runs may pass before a fault is found: it needs calls that happen to come at the wrong moment.
const RUNS: u64 = 8;

/// Plants what this process is to have, if anything.
pub(crate) fn plant() {
    let Ok(name) = std::env::var(PLANTED) else { return };
    Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name).expect("a fault's name").plant();
}

#[test]
#[ignore = "some minutes: `make mutants`"]
fn planted_faults_are_found() {
    let mut missed = Vec::new();
    for (fault, nemesis) in FOUND_BY {
        let (fault, nemesis) = (format!("{fault:?}"), format!("{nemesis:?}"));
        match (1..=RUNS).find_map(|seed| Some((seed, breach(&fault, &nemesis, seed)?))) {
            Some((seed, row)) => println!("{fault:<26} found by seed {seed}, {row}"),
            None => {
                println!("{fault:<26} NOT FOUND by {RUNS} runs of {nemesis}");
                missed.push(fault);
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The row of a run with this fault planted, if it breaks a promise.
fn breach(fault: &str, nemesis: &str, seed: u64) -> Option<String> {
    let mut chaos = Command::new(std::env::current_exe().unwrap());
    chaos.args(["chaos::no_fault_breaks_a_promise", "--exact", "--nocapture", "--ignored"]);
    chaos.env(PLANTED, fault).env("TURNSTILE_TEST_NEMESIS", nemesis).env("TURNSTILE_TEST_SEED", seed.to_string());
    let said = String::from_utf8(chaos.output().unwrap().stdout).unwrap();
    said.lines().find(|line| line.starts_with(nemesis) && line.contains("violated")).map(str::to_owned)
}
