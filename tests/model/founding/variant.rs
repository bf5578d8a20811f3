//! What is promised, what must be reachable, and the rules that are left out.
//!
//! The acceptors and proposers are the real ones in every variant: a rule is left out by what they are told, or by what is kept of them.

use turnstile::engine::founding::{Acceptor, Ballot, Founding};

use super::assembly::{Assembly, State};

/// The promise that all is about.
pub const ONE_FOUNDING: &str = "one founding at most is ever chosen";
/// What proposers go by is so.
pub const CHOSEN_IS_CHOSEN: &str = "what a proposer takes for chosen was chosen";

/// Whether something is to be seen in a state.
type Happens = fn(&Assembly, &State) -> bool;

/// What must be reachable, each by its name: where nothing is ever founded every promise is kept.
pub const SCENES: [(&str, Happens); 3] = [
    ("a proposer knows that its own founding is chosen", |_, state| {
        state.nodes.iter().any(|(id, node)| {
            let chosen = node.proposer.as_ref().and_then(|proposer| proposer.chosen());
            chosen.is_some_and(|founding| founding.cluster.0 == u128::from(id.get()))
        })
    }),
    ("a founding of a node that is not the lowest is chosen", |assembly, state| {
        assembly.chosen(state).iter().any(|(_, founding)| founding.cluster.0 > 1)
    }),
    ("a founding is chosen under the ballot of another than its founder", |assembly, state| {
        assembly.chosen(state).iter().any(|(ballot, founding)| founding.cluster.0 != u128::from(ballot.node.get()))
    }),
];

/// The protocol as it is, or with one rule left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As it is.
    Right,
    /// A node that starts again has forgotten what it has promised, though not what it has accepted.
    ForgetsPromise,
    /// A proposer asks for its own founding, whatever was accepted before.
    IgnoresAccepted,
    /// A proposer begins with its first ballot each time.
    SameBallotAgain,
}

impl Variant {
    /// What a proposer knows of former ballots when it begins.
    pub fn remembered(self, own: &Acceptor) -> Option<Ballot> {
        if self == Self::SameBallotAgain { None } else { own.promised() }
    }

    /// What is left of an acceptor after a restart.
    pub fn restarted(self, before: &Acceptor) -> Acceptor {
        if self != Self::ForgetsPromise {
            return before.clone();
        }
        let mut after = Acceptor::default();
        if let Some((ballot, founding)) = before.accepted() {
            after.accept(*ballot, founding.clone());
        }
        after
    }

    /// What a proposer makes of what an acceptor tells it to have accepted.
    pub fn regarded(self, accepted: Option<(Ballot, Founding)>) -> Option<(Ballot, Founding)> {
        accepted.filter(|_| self != Self::IgnoresAccepted)
    }
}
