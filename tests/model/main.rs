//! Hand-over of ownership, explored exhaustively: no order of crashes, cuts, late messages and clock ticks breaks a promise.
//!
//! Other tests draw histories at random, or kill processes; this one leaves none out, within its bounds. Nodes join, propose, release,
//! crash, start again, are cut off and marked down, in every order; a message on its way to the log is committed at any later
//! moment, twice if it was repeated, or never. The **ledger is the real one** (`engine::ledger`, `engine::limiter` and `engine::ring`), reached
//! through its commands; only those who talk to it are models.
//!
//! - `log`: the ledger, and what may become an entry. `node`: one process. `cluster`: what may happen next.
//! - `audit` sees what no node sees, and judges. `variant`: what is promised, and **the rules that are left out, one by one**, of each of
//!   which the checker must find the harm. `scene`: what must be reachable, lest all is kept because nothing happens. `story` tells paths.
//! - `founding` is a model of its own: how nodes without a cluster become one.
//!
//! **Abstracted away.** Consensus: there is one log, entries are committed or not, and whoever is not cut off reaches it. Clocks: all
//! processes and the ledger share one that counts ticks, a stamp is taken when its entry is committed, and the guard is zero; what clocks may differ by,
//! and ledger time that falls back with a leader, is not explored. Waiters: somebody always waits or nobody does, as the owner pleases, so that order and
//! niceness don't occur. An owner, its router and its worker are one process, its shards are one, and it proposes for one connection, one slot at a time, gives back one
//! slot a proposal, and may ask when its mirror would know better. Snapshots, limits that change, and pauses don't occur. An entry that
//! does nothing (a refusal, or an answer from memory) leaves no stamp behind; that it did nothing is asserted.
//!
//! **Bounds**, in [`explorations`] and [`wide_explorations`]: a window of one tick and a delivery bound of one tick, so that a charge counts for two; the rest differs.
//! Batches are counted for each run, and entries are those that do something. `make model` prints how many states that makes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test stops where it finds what it did not expect, and its parts are public to each other only"
)]

mod audit;
mod cluster;
mod founding;
mod log;
mod node;
mod scene;
mod story;
mod variant;

use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model, Path};

use self::cluster::{Bounds, Cluster};
use self::log::Connection;
use self::story::Story;
use self::variant::{Promise, Variant};

const WINDOW: log::Tick = 1;
const DELIVERY: log::Tick = 1;

/// At most `count` starts in a window.
fn per_window(count: u8) -> Connection {
    Connection::new(count, WINDOW, DELIVERY)
}

/// What every run explores to its end, in some ten seconds.
fn explorations() -> Vec<(&'static str, Bounds)> {
    vec![
        (
            "two nodes over whole windows of one grant",
            Bounds { nodes: 2, connection: per_window(1), ticks: 3, entries: 5, batches: 1, faults: 1 },
        ),
        (
            "two nodes within a window of two grants, slots given back",
            Bounds { nodes: 2, connection: per_window(2), ticks: 1, entries: 4, batches: 2, faults: 1 },
        ),
        (
            "three nodes within a window of two grants",
            Bounds { nodes: 3, connection: per_window(2), ticks: 1, entries: 4, batches: 1, faults: 1 },
        ),
    ]
}

/// What `make model` explores beside.
fn wide_explorations() -> Vec<(&'static str, Bounds)> {
    vec![
        (
            "two nodes over whole windows of one grant, two faults",
            Bounds { nodes: 2, connection: per_window(1), ticks: 3, entries: 4, batches: 1, faults: 2 },
        ),
        (
            "two nodes within a window of two grants, two faults",
            Bounds { nodes: 2, connection: per_window(2), ticks: 1, entries: 5, batches: 1, faults: 2 },
        ),
    ]
}

/// Explores all there is, finds every promise of `promises` kept, and says which scenes were seen.
fn explore(name: &str, bounds: Bounds, variant: Variant, promises: &[Promise]) -> Vec<&'static str> {
    // Depth first: it keeps few states in memory.
    let checker = Cluster { bounds, variant }.checker().spawn_dfs().join();
    println!("{name}: {} states, {} steps between them", checker.unique_state_count(), checker.state_count());
    for promise in promises {
        if let Some(path) = checker.discovery(promise.name()) {
            panic!("{name}: not so: {}\n{}", promise.name(), Story { cluster: checker.model(), path });
        }
    }
    assert!(checker.is_done());
    scene::SCENES.iter().map(|&(scene, _)| scene).filter(|scene| checker.discovery(scene).is_some()).collect()
}

#[test]
fn no_order_of_events_breaks_a_promise_and_everything_worth_seeing_happens() {
    let explored = explorations().into_iter().map(|(name, bounds)| explore(name, bounds, Variant::Right, &Promise::ALL));
    let seen: Vec<_> = explored.flatten().collect();
    let unseen: Vec<_> = scene::SCENES.iter().map(|&(scene, _)| scene).filter(|scene| !seen.contains(scene)).collect();
    assert!(unseen.is_empty(), "never seen: {unseen:?}");
}

#[test]
#[ignore = "takes a minute: `make model` runs it"]
fn no_order_of_events_with_two_faults_breaks_a_promise() {
    for (name, bounds) in wide_explorations() {
        explore(name, bounds, Variant::Right, &Promise::ALL);
    }
}

/// Bounds within which the harm of a broken variant shows.
fn narrow(variant: Variant) -> Bounds {
    let least = Bounds { nodes: 2, connection: per_window(1), ticks: 0, entries: 4, batches: 1, faults: 1 };
    match variant {
        Variant::Right | Variant::NodeIdOnly => least,
        Variant::ReleaseBeforeCommit => Bounds { batches: 2, ..least },
        Variant::HeirGivesBack => Bounds { entries: 5, ..least },
        Variant::NoEpoch => Bounds { connection: per_window(2), entries: 5, ..least },
        Variant::NoDeliveryBound => Bounds { ticks: 3, faults: 0, ..least },
    }
}

/// The shortest way to break a promise: the depth grows until there is one.
fn shortest<M>(model: &M, promise: &'static str) -> Option<Path<M::State, M::Action>>
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Hash + Send + Sync + Clone + PartialEq + 'static,
    M::Action: Clone + PartialEq,
{
    (1..40).find_map(|depth| {
        let broken = HasDiscoveries::AnyOf([promise].into());
        model.clone().checker().finish_when(broken).target_max_depth(depth).spawn_bfs().join().discovery(promise)
    })
}

fn counterexample(variant: Variant, promise: Promise) -> (usize, String) {
    let cluster = Cluster { bounds: narrow(variant), variant };
    let path = shortest(&cluster, promise.name());
    let path = path.unwrap_or_else(|| panic!("{variant:?} keeps the promise: {}", promise.name()));
    (path.clone().into_actions().len(), Story { cluster: &cluster, path }.to_string())
}

fn breaks_what_it_must(variant: Variant) {
    assert!(!variant.breaks().is_empty());
    for &promise in variant.breaks() {
        let (length, story) = counterexample(variant, promise);
        println!("{variant:?}: not so, after {length} acts: {}\n{story}", promise.name());
    }
}

#[test]
fn a_release_before_the_commit_starts_what_is_not_charged_and_breaks_the_limit() {
    breaks_what_it_must(Variant::ReleaseBeforeCommit);
}

#[test]
fn runs_of_a_node_under_one_name_start_one_charge_twice() {
    breaks_what_it_must(Variant::NodeIdOnly);
}

#[test]
fn slots_of_a_dead_owner_that_its_heir_gives_back_were_started() {
    breaks_what_it_must(Variant::HeirGivesBack);
}

#[test]
fn a_proposal_without_its_ring_is_charged_behind_the_back_of_others() {
    breaks_what_it_must(Variant::NoEpoch);
    // The ledger counts whoever asks: what is lost is that owners follow one another, not the limit.
    explore("without rings in proposals", narrow(Variant::NoEpoch), Variant::NoEpoch, &[Promise::Limit, Promise::Charged]);
}

#[test]
fn grants_that_start_however_late_break_the_limit() {
    breaks_what_it_must(Variant::NoDeliveryBound);
}
