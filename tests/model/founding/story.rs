//! A path through the model as a person reads it.

use std::collections::BTreeSet;
use std::fmt;

use stateright::Path;
use turnstile::engine::founding::{Ballot, Founding};
use turnstile::engine::grant::NodeId;

use super::assembly::{Act, Message, State};
use crate::story::letter;

/// What happened, act by act.
#[derive(Debug)]
pub struct Story {
    pub path: Path<State, Act>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, act) in self.path.clone().into_actions().into_iter().enumerate() {
            let what = match act {
                Act::Propose(view) => {
                    let founder = view.first().map(|&id| letter(id)).unwrap_or_default();
                    format!("{founder} sees {}, and begins a ballot", letters(&view))
                }
                Act::Hear(id, message) => heard(&letter(id), &message),
                Act::Crash(id) => format!("{} crashes, and starts again", letter(id)),
            };
            writeln!(f, "  {:>2}. {what}", place + 1)?;
        }
        Ok(())
    }
}

fn heard(node: &str, message: &Message) -> String {
    match message {
        Message::Prepare { ballot } => format!("{node} promises {}", named(*ballot)),
        Message::Promised { ballot, by, accepted: None } => {
            format!("{node} hears that {} has promised {} and accepted nothing", letter(*by), named(*ballot))
        }
        Message::Promised { ballot, by, accepted: Some((under, founding)) } => {
            let (by, ballot, under) = (letter(*by), named(*ballot), named(*under));
            format!("{node} hears that {by} has promised {ballot} and accepted {} under {under}", cluster(founding))
        }
        Message::Accept { ballot, founding } => format!("{node} accepts {} under {}", cluster(founding), named(*ballot)),
        Message::Accepted { ballot, by, founding } => {
            format!("{node} hears that {} has accepted {} under {}", letter(*by), cluster(founding), named(*ballot))
        }
    }
}

/// The first ballot of A is 1A.
fn named(ballot: Ballot) -> String {
    format!("{}{}", ballot.round, letter(ballot.node))
}

fn cluster(founding: &Founding) -> String {
    format!("cluster {} of {}", founding.cluster.0, letters(&founding.voters))
}

fn letters(nodes: &BTreeSet<NodeId>) -> String {
    nodes.iter().map(|&id| letter(id)).collect()
}
