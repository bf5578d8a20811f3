//! What changes a connection's limiter beside the charges for those who wait: a pause, a reconcile.

use std::sync::Arc;

use ractor::ActorRef;

use super::admission::Ticket;
use super::message::Message;
use crate::clock::Clock;
use crate::consensus::proposer::{Inbox, Proposer};
use crate::engine::grant::Epoch;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Action, Adjusted, Adjustment, Proposal, Verdict};

/// Has an adjustment of a connection of this node committed, tells its owner, and says what became of it. An error when the ring has moved: to this epoch. `None` when
/// consensus has ended. It stands when the future is dropped, and its ticket counts until it is answered.
pub(crate) async fn adjust(
    proposer: &Proposer,
    clock: Clock,
    epoch: Epoch,
    key: &ConnectionKey,
    adjustment: Adjustment,
    shard: &ActorRef<Message>,
    ticket: Arc<Ticket>,
) -> Option<Result<Adjusted, Epoch>> {
    let proposal = Proposal { epoch, key: key.clone(), action: Action::Adjust(adjustment) };
    let (answered, mut answer) = tokio::sync::mpsc::channel(1);
    let (shard, of) = (shard.clone(), key.clone());
    let inbox: Inbox = Arc::new(move |settled| {
        let _in_flight = &ticket;
        if let Some(settled) = settled.into_iter().next() {
            if let Verdict::Adjusted { stamp, adjusted } = settled.verdict {
                // A shard that is gone will read it from the ledger.
                drop(shard.cast(Message::Adjusted(of.clone(), stamp, adjusted)));
            }
            // Whoever asked may be gone; it holds all the same.
            drop(answered.try_send(settled.verdict));
        }
    });
    proposer.propose(proposal, clock.now(), &inbox);
    drop(inbox);
    match answer.recv().await? {
        Verdict::Adjusted { adjusted, .. } => Some(Ok(adjusted)),
        Verdict::Moved { epoch } => Some(Err(epoch)),
        // No other verdict is one to an adjustment.
        Verdict::Done { .. } | Verdict::Charged { .. } | Verdict::NotBefore { .. } => None,
    }
}
