//! Who owns what: a consistent hash ring from keys to owning actors.
//!
//! Promises: the same members give the same owners, in every process and every version; a member that comes or goes moves
//! only the keys that it takes or gives. The ring is rebuilt from the sorted member list, never edited in place.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use hashring::HashRing;

use crate::engine::grant::{Epoch, NodeId, ShardCount, ShardId};
use crate::engine::key::ConnectionKey;

/// How many points each shard has on the ring: enough that shares differ by a few percent only.
const POINTS_PER_SHARD: u16 = 128;

/// One point on the ring, hashed as bytes that never depend on a type's layout.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    shard: ShardId,
    replica: u16,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = [0; 12];
        let (node, rest) = bytes.split_at_mut(8);
        let (index, replica) = rest.split_at_mut(2);
        node.copy_from_slice(&self.shard.node.get().to_be_bytes());
        index.copy_from_slice(&self.shard.index.to_be_bytes());
        replica.copy_from_slice(&self.replica.to_be_bytes());
        state.write(&bytes);
    }
}

/// A key's bytes, as they are hashed.
struct HashedKey<'a>(&'a ConnectionKey);

impl Hash for HashedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_bytes());
    }
}

/// The ring of one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Ring {
    epoch: Epoch,
    points: HashRing<Point>,
}

impl Ring {
    /// The ring of these members, each with its number of shards.
    #[must_use]
    pub fn new(epoch: Epoch, members: &BTreeMap<NodeId, ShardCount>) -> Self {
        let mut points = HashRing::new();
        let all = members.iter().flat_map(|(&node, shards)| {
            let shards = (0..shards.get()).map(move |index| ShardId { node, index });
            shards.flat_map(|shard| (0..POINTS_PER_SHARD).map(move |replica| Point { shard, replica }))
        });
        points.batch_add(all.collect());
        Self { epoch, points }
    }

    /// Which ring this is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The actor that owns `key`; `None` while there is no member.
    #[must_use]
    pub fn owner(&self, key: &ConnectionKey) -> Option<ShardId> {
        self.points.get(&HashedKey(key)).map(|point| point.shard)
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(Epoch::default(), &BTreeMap::new())
    }
}
