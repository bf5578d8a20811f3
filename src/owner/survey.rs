//! All connections of a node in figures, for its metrics.
//!
//! Promises: no shard is held up: it is asked about a few at a time, and is done with its other messages in between, however many there are.

use tokio::sync::oneshot;

use super::{Message, OwnersHandle};
use crate::engine::queue::Queue;
use crate::engine::shard::{Caller, Shard, Share};
use crate::engine::time::Timestamp;
use crate::telemetry::ByBand;

/// At how many connections a shard looks at least before it sees to its other messages.
const LOOKS_AT: usize = 256;

/// In how many parts it looks at them if they are many: finding where it was takes it longer the further it was. A million at one shard take milliseconds each.
const PARTS: usize = 64;

/// From this share of a limit on it is full: a connection of 20 that has 19 waits soon.
const FULL_FROM: Share = 950_000;

/// How many wait, and how full the limits are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// How many connections were looked at.
    pub connections: usize,
    /// How many wait there, those set aside among them.
    pub waiting: ByBand<usize>,
    /// The fill of the fullest limit.
    pub fullest: Share,
    /// How many connections have a full limit.
    pub full: usize,
}

impl Survey {
    /// Adds some of a shard's connections, after so many others; returns after how many the next are.
    pub(super) fn add<T: Caller>(&mut self, shard: &Shard<T>, now: Timestamp, after: usize) -> Option<usize> {
        let at_most = (shard.residents() / PARTS).max(LOOKS_AT);
        let before = self.connections;
        shard.look_through(now, after, at_most, |queue, fullest| self.see(queue, fullest));
        let seen = self.connections - before;
        (seen == at_most).then_some(after + seen)
    }

    /// Adds one connection.
    fn see<T>(&mut self, queue: &Queue<T>, fullest: Share) {
        self.connections += 1;
        for (niceness, count) in queue.all_depths() {
            *self.waiting.of_mut(niceness) += count;
        }
        self.fullest = self.fullest.max(fullest);
        self.full += usize::from(fullest >= FULL_FROM);
    }
}

impl OwnersHandle {
    /// All connections that the shards have in memory, nearly: some come and go meanwhile. A shard that crashes leaves its share out.
    pub(crate) async fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        for shard in self.all() {
            let mut next = Some(0);
            while let Some(after) = next {
                let (reply, surveyed) = oneshot::channel();
                drop(shard.cast(Message::Survey(survey.clone(), after, reply)));
                let Ok(more) = surveyed.await else { break };
                (survey, next) = more;
                // Not sent by the shard to itself: it would have the thread to itself then, and those whom it has just answered would wait for it.
                tokio::task::yield_now().await;
            }
        }
        survey
    }
}
