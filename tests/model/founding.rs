//! Formation of a cluster, explored exhaustively: no order of events makes two clusters of nodes that have none.
//!
//! The acceptors, the proposers and what they choose are **the real ones** (`engine::founding`); the network between them and the disks under
//! them are models. Whatever was said may arrive at any later moment, any number of times, or never. Any node may crash at any moment and as
//! often as it likes, and starts again with the acceptor that it has on disk, and without its attempt.
//!
//! - `assembly`: the nodes, and what may happen next. `story` tells paths. `variant`: what is promised, what must be reachable, and **the rules
//!   that are left out, one by one**.
//!
//! **Abstracted away.** Refusals, for all they do is to raise the next ballot: here a founder may begin the ballot after all it has promised
//! whenever it likes, and skip rounds by attempts of which nobody hears. How a view becomes stable: a node may found by any of its views, in
//! any order. Who learns that a founding is chosen takes it over; there is nothing to explore in that.
//!
//! **Bounds**: who may see whom, and how many ballots there are.

mod assembly;
mod story;
mod variant;

use std::collections::BTreeSet;

use stateright::{Checker, Model};
use turnstile::engine::grant::NodeId;

use self::assembly::{Assembly, Bounds};
use self::story::Story;
use self::variant::{CHOSEN_IS_CHOSEN, ONE_FOUNDING, SCENES, Variant};
use super::shortest;

/// What each of them may see, as letters: node 1 is A.
fn views(seen: &[&str]) -> Vec<BTreeSet<NodeId>> {
    let node = |letter: u8| NodeId::new(u64::from(letter - b'A' + 1));
    seen.iter().map(|letters| letters.bytes().map(node).collect()).collect()
}

/// What every run explores to its end.
fn explorations() -> Vec<(&'static str, Bounds)> {
    vec![
        ("three nodes, one of which does not see the lowest", narrow()),
        ("three nodes in any views", Bounds { views: views(&["AB", "AC", "ABC", "BC"]), ..narrow() }),
    ]
}

/// What `make model` explores beside.
fn wide_explorations() -> Vec<(&'static str, Bounds)> {
    vec![
        ("three nodes, one of which does not see the lowest, three ballots", Bounds { attempts: 3, ..narrow() }),
        ("four nodes in two overlapping views", Bounds { nodes: 4, expect: 3, views: views(&["ABC", "BCD"]), ..narrow() }),
    ]
}

/// Three nodes, of which the second does not see the first.
fn narrow() -> Bounds {
    Bounds { nodes: 3, expect: 2, views: views(&["ABC", "BC"]), attempts: 2 }
}

/// Explores all there is, finds every promise kept, and everything worth seeing seen.
fn explore(name: &str, bounds: Bounds) {
    let checker = Assembly { bounds, variant: Variant::Right }.checker().spawn_dfs().join();
    println!("{name}: {} states, {} steps between them", checker.unique_state_count(), checker.state_count());
    for promise in [ONE_FOUNDING, CHOSEN_IS_CHOSEN] {
        if let Some(path) = checker.discovery(promise) {
            panic!("{name}: not so: {promise}\n{}", Story { path });
        }
    }
    assert!(checker.is_done());
    let unseen: Vec<_> = SCENES.iter().map(|&(scene, _)| scene).filter(|&scene| checker.discovery(scene).is_none()).collect();
    assert!(unseen.is_empty(), "{name}: never seen: {unseen:?}");
}

#[test]
fn no_order_of_events_founds_two_clusters_and_one_can_be_founded() {
    for (name, bounds) in explorations() {
        explore(name, bounds);
    }
}

#[test]
#[ignore = "takes two minutes: `make model` runs it"]
fn no_order_of_events_of_more_nodes_and_ballots_founds_two_clusters() {
    for (name, bounds) in wide_explorations() {
        explore(name, bounds);
    }
}

/// Has the checker find the shortest way to two foundings.
fn founds_two(variant: Variant, bounds: Bounds) {
    let path = shortest(&Assembly { bounds, variant }, ONE_FOUNDING);
    let path = path.unwrap_or_else(|| panic!("{variant:?} founds one cluster only"));
    let length = path.clone().into_actions().len();
    println!("{variant:?}: not so, after {length} acts: {ONE_FOUNDING}\n{}", Story { path });
}

#[test]
fn two_halves_that_expect_no_more_than_half_of_the_nodes_found_two_clusters() {
    founds_two(Variant::Right, Bounds { nodes: 4, views: views(&["AB", "CD"]), ..narrow() });
}

#[test]
fn an_acceptor_that_forgets_its_promise_helps_to_found_two_clusters() {
    founds_two(Variant::ForgetsPromise, narrow());
}

#[test]
fn a_proposer_that_ignores_what_was_accepted_founds_a_second_cluster() {
    founds_two(Variant::IgnoresAccepted, narrow());
}

#[test]
fn a_ballot_that_is_used_again_after_a_restart_founds_a_second_cluster() {
    founds_two(Variant::SameBallotAgain, Bounds { views: views(&["AB", "ABC"]), ..narrow() });
}
