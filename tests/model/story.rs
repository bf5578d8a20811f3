//! A path through the model as a person reads it.

use std::fmt;

use stateright::Path;
use turnstile::engine::grant::{Epoch, Incarnation, NodeId};

use super::cluster::{Act, Cluster, State};
use super::log::{Message, Said};
use super::node::Wish;

/// What happened, act by act, with what the ledger said.
#[derive(Debug)]
pub struct Story<'a> {
    pub cluster: &'a Cluster,
    pub path: Path<State, Act>,
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<_> = self.path.clone().into_vec().into_iter().filter_map(|(state, act)| Some((state, act?))).collect();
        for (place, (state, act)) in steps.iter().enumerate() {
            let run = |id: &NodeId| state.nodes.get(id).and_then(|node| node.last).map_or_else(|| letter(*id), name);
            let what = match act {
                Act::Start(id) => format!("node {} starts again, and asks to join", letter(*id)),
                Act::Commit(message) => format!("{}: {}", told(*message), said(self.cluster.answer_to(state, *message))),
                Act::Repeat(id) => format!("{} has no answer, and sends its proposal again", run(id)),
                Act::Propose(id, Wish::Slot, view) => format!("{} asks for a slot, by {}", run(id), ring(view.epoch)),
                Act::Propose(id, Wish::GiveBack, view) => format!("{} gives a slot back, by {}", run(id), ring(view.epoch)),
                Act::Release(id) => format!("{} starts a grant", run(id)),
                Act::Crash(id) => format!("{} crashes", run(id)),
                Act::Cut(id) => format!("{} is cut off", run(id)),
                Act::Heal(id) => format!("{} is reached again", run(id)),
                Act::MarkDown(id) => {
                    format!("{} is marked down", state.log.member(*id).map_or_else(|| letter(*id), name))
                }
                Act::Tick => format!("time passes: it is {}", state.now + 1),
            };
            writeln!(f, "  {:>2}. {what}", place + 1)?;
        }
        Ok(())
    }
}

fn told(message: Message) -> String {
    match message {
        Message::Join { run, .. } => format!("{}'s join is committed", name(run)),
        Message::Propose { run, number, epoch, asks, .. } => {
            let what = if asks { "ask" } else { "return" };
            format!("{}'s {what}, its batch {number}, decided by {}, is committed", name(run), ring(epoch))
        }
    }
}

fn said(said: Said) -> String {
    match said {
        Said::Charged { stamp } => format!("charged at {stamp:?}"),
        Said::Joined => "it is a member".to_owned(),
        Said::Outdated => "refused, the ring has moved".to_owned(),
        Said::NotBefore => "no room yet".to_owned(),
        Said::Done => "done".to_owned(),
        Said::Moved => "refused, another ring is in force".to_owned(),
        Said::Superseded => "refused, a later one has come before it".to_owned(),
        Said::NotMember => "refused, it is no member".to_owned(),
    }
}

/// Node 1 is A; its first run A1.
pub fn letter(id: NodeId) -> String {
    let place = u8::try_from(id.get() - 1).unwrap();
    char::from(b'A' + place).to_string()
}

fn name(run: Incarnation) -> String {
    format!("{}{}", letter(run.node), run.run)
}

fn ring(epoch: Epoch) -> String {
    format!("the ring of entry {}", epoch.0.0)
}
