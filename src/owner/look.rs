//! Looking at all connections of a node, for what its metrics and operators want to know.
//!
//! Promises: no shard is held up: it is asked about a few at a time, and is done with its other messages in between, however many there are.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Message, OwnersHandle};
use crate::clock;
use crate::engine::key::ConnectionKey;
use crate::engine::queue::Queue;
use crate::engine::shard::{Caller, Shard, Share};
use crate::engine::time::Timestamp;

/// How long a shard has to answer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// At how many connections a shard looks at least before it sees to its other messages.
const LOOKS_AT: usize = 256;

/// In how many parts it looks at them if they are many: finding where it was takes it longer the further it was. A million at one shard take milliseconds each.
const PARTS: usize = 64;

/// Who is shown every connection.
pub(crate) trait Observer: Clone {
    /// A connection: who waits there, and how full its fullest limit is.
    fn see<T>(&mut self, key: &ConnectionKey, queue: &Queue<T>, fullest: Share);
}

/// A look at some connections of one shard.
#[derive(Debug)]
pub(crate) struct Look<O> {
    observer: O,
    /// How many it has seen of this shard.
    after: usize,
    /// Takes the observer back, and after how many the next look begins.
    reply: oneshot::Sender<(O, Option<usize>)>,
}

impl<O: Observer> Look<O> {
    /// Shows the observer what it is to see.
    pub(super) fn take<T: Caller>(self, shard: &Shard<T>, now: Timestamp) {
        let Self { mut observer, after, reply } = self;
        let at_most = (shard.residents() / PARTS).max(LOOKS_AT);
        let mut seen = 0;
        shard.look_through(now, after, at_most, |key, queue, fullest| {
            observer.see(key, queue, fullest);
            seen += 1;
        });
        // Whoever asked may be gone.
        reply.send((observer, (seen == at_most).then_some(after + seen))).ok();
    }
}

impl OwnersHandle {
    /// Shows all connections that the shards have in memory, nearly: some come and go meanwhile, and some may be seen twice or not at all for that. A shard that
    /// crashes or doesn't answer leaves out those that were not seen.
    pub(super) async fn look_through<O: Observer>(&self, mut observer: O, message: impl Fn(Look<O>) -> Message) -> O {
        for shard in self.all() {
            let mut next = Some(0);
            while let Some(after) = next {
                let (reply, answer) = oneshot::channel();
                drop(shard.cast(message(Look { observer: observer.clone(), after, reply })));
                let Ok(Ok(more)) = clock::timeout(ANSWERS_WITHIN, answer).await else { break };
                (observer, next) = more;
                // Not sent by the shard to itself: it would have the thread to itself then, and those whom it has just answered would wait for it.
                tokio::task::yield_now().await;
            }
        }
        observer
    }
}
