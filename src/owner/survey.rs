//! All connections of a node in figures, for its metrics.

use super::look::Observer;
use super::{Message, OwnersHandle};
use crate::engine::key::ConnectionKey;
use crate::engine::queue::Queue;
use crate::engine::shard::Share;
use crate::telemetry::ByBand;

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

impl Observer for Survey {
    fn see<T>(&mut self, _: &ConnectionKey, queue: &Queue<T>, fullest: Share) {
        self.connections += 1;
        for (niceness, count) in queue.all_depths() {
            *self.waiting.of_mut(niceness) += count;
        }
        self.fullest = self.fullest.max(fullest);
        self.full += usize::from(fullest >= FULL_FROM);
    }
}

impl OwnersHandle {
    /// All connections that the shards have in memory.
    pub(crate) async fn survey(&self) -> Survey {
        self.look_through(Survey::default(), Message::Survey).await
    }
}
