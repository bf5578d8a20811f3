//! All connections of a node in figures, for its metrics.
//!
//! Promises: no shard is held up: it looks at a few at a time, between its other messages, however many there are.

use tokio::sync::oneshot;

use super::{Message, OwnersHandle};
use crate::engine::queue::Queue;
use crate::engine::shard::Share;
use crate::telemetry::ByBand;

/// How many connections a shard looks at before it sees to its other messages. At worst, with all windows full of moments, that takes it a millisecond.
pub(super) const LOOKS_AT: usize = 1024;

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
    /// Adds one connection.
    pub(super) fn see<T>(&mut self, queue: &Queue<T>, fullest: Share) {
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
            let (reply, surveyed) = oneshot::channel();
            if shard.cast(Message::Survey(survey.clone(), 0, reply)).is_ok()
                && let Ok(surveyed) = surveyed.await
            {
                survey = surveyed;
            }
        }
        survey
    }
}
