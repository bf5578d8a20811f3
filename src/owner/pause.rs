//! A pause: nothing is let through for a connection for a while.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::admission::Ticket;
use super::message::Message;
use crate::clock::Clock;
use crate::consensus::proposer::{Inbox, Proposer};
use crate::engine::grant::Epoch;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Action, Proposal, Verdict};

/// Has a pause of a connection of this node committed, and tells its owner. An error when the ring has moved: to this epoch. `None` when
/// consensus has ended. The pause stands when the future is dropped, and its ticket
/// counts until it is answered.
pub(crate) async fn pause(
    proposer: &Proposer,
    clock: Clock,
    epoch: Epoch,
    key: &ConnectionKey,
    pause: Duration,
    shard: &ActorRef<Message>,
    ticket: Arc<Ticket>,
) -> Option<Result<(), Epoch>> {
    let proposal = Proposal { epoch, key: key.clone(), action: Action::Pause { pause } };
    let (answered, mut answer) = tokio::sync::mpsc::channel(1);
    let inbox: Inbox = Arc::new(move |settled| {
        let _in_flight = &ticket;
        if let Some(settled) = settled.into_iter().next() {
            // Whoever asked may be gone; the pause holds all the same.
            drop(answered.try_send(settled.verdict));
        }
    });
    proposer.propose(proposal, clock.now(), &inbox);
    drop(inbox);
    match answer.recv().await? {
        Verdict::Done { stamp } | Verdict::Charged { stamp, .. } | Verdict::NotBefore { stamp, .. } => {
            // A shard that is gone will read the pause from the ledger.
            drop(shard.cast(Message::Paused(key.clone(), stamp + pause)));
            Some(Ok(()))
        }
        Verdict::Moved { epoch } => Some(Err(epoch)),
    }
}
