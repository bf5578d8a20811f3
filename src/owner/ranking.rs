//! The busiest connections of a node, for its operators.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::look::Observer;
use super::{Message, OwnersHandle};
use crate::engine::key::ConnectionKey;
use crate::engine::queue::Queue;
use crate::engine::shard::Share;

/// The busiest of the connections that were seen: by who waits, then by the fullest limit.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    top: usize,
    places: BTreeSet<(Reverse<usize>, Reverse<Share>, ConnectionKey)>,
}

impl Observer for Ranking {
    fn see<T>(&mut self, key: &ConnectionKey, queue: &Queue<T>, fullest: Share) {
        let (waiters, fullest) = (Reverse(queue.len()), Reverse(fullest));
        let is_among_them =
            |(last_waiters, last_fullest, last): &(_, _, _)| (&waiters, &fullest, key) < (last_waiters, last_fullest, last);
        if self.places.len() < self.top || self.places.last().is_some_and(is_among_them) {
            // One that is seen again has one place.
            self.places.retain(|(_, _, placed)| placed != key);
            self.places.insert((waiters, fullest, key.clone()));
        }
        if self.places.len() > self.top {
            self.places.pop_last();
        }
    }
}

impl OwnersHandle {
    /// The busiest connections that the shards have in memory, at most `top`, in no order.
    pub(super) async fn busiest(&self, top: usize) -> BTreeSet<ConnectionKey> {
        let ranking = self.look_through(Ranking { top, places: BTreeSet::new() }, Message::Rank).await;
        ranking.places.into_iter().map(|(_, _, key)| key).collect()
    }
}
