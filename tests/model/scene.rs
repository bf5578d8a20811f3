//! What must be reachable: a model in which nobody is ever granted anything keeps every promise.

use turnstile::engine::grant::NodeId;

use super::audit::Charged;
use super::cluster::{Cluster, State};
use super::log::Said;

/// Whether something is to be seen in a state.
type Happens = fn(&Cluster, &State) -> bool;

/// Each by its name.
pub const SCENES: [(&str, Happens); 7] = [
    ("a successor grants after the owner before it has crashed", |_, state| {
        pairs(state).any(|(former, next)| former.by.node != next.by.node && is_dead(state, former.by.node))
    }),
    ("a node that was restarted owns and grants again", |_, state| {
        pairs(state).any(|(former, next)| former.by.node == next.by.node && former.by != next.by)
    }),
    ("a cut-off owner's proposal is refused, for it was marked down", |_, state| is_refused(state, Said::NotMember)),
    ("an owner's proposal is refused, for the ring has moved", |_, state| is_refused(state, Said::Moved)),
    ("a join that was long on its way is refused", |_, state| is_refused(state, Said::Outdated)),
    ("a slot that nobody took has gone back", |_, state| state.audit.charges.iter().any(|charged| charged.is_given_back)),
    ("a slot of a dead owner leaves with its window, and the next is granted", |_, state| {
        let is_lost = |charged: &Charged| !charged.is_started && !charged.is_given_back && is_dead(state, charged.by.node);
        let lost = state.audit.charges.iter().position(is_lost);
        lost.is_some_and(|lost| state.audit.charges.iter().skip(lost).any(|charged| charged.is_started))
    }),
];

fn started(state: &State) -> impl Iterator<Item = &Charged> + Clone {
    state.audit.charges.iter().filter(|charged| charged.is_started)
}

/// Grants, each with the next.
fn pairs(state: &State) -> impl Iterator<Item = (&Charged, &Charged)> {
    started(state).zip(started(state).skip(1))
}

fn is_dead(state: &State, node: NodeId) -> bool {
    state.nodes.get(&node).is_some_and(|node| node.process.is_none())
}

/// Whether a living process was last told this.
fn is_refused(state: &State, said: Said) -> bool {
    state.nodes.values().filter_map(|node| node.process.as_ref()).any(|process| process.refused == Some(said))
}
