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
        let (length, names) = self.0.bytes();
        state.write(&length);
        state.write(names);
    }
}

/// The ring of one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Ring {
    epoch: Epoch,
    members: BTreeMap<NodeId, ShardCount>,
    points: HashRing<Point>,
}

impl Ring {
    /// The ring of these members, each with its number of shards.
    #[must_use]
    pub fn new(epoch: Epoch, members: BTreeMap<NodeId, ShardCount>) -> Self {
        let mut points = HashRing::new();
        let all = members.iter().flat_map(|(&node, shards)| {
            let shards = (0..shards.get()).map(move |index| ShardId { node, index });
            shards.flat_map(|shard| (0..POINTS_PER_SHARD).map(move |replica| Point { shard, replica }))
        });
        points.batch_add(all.collect());
        Self { epoch, members, points }
    }

    /// Which ring this is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether this node is among its members.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// Its members, each with its number of shards.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<NodeId, ShardCount> {
        &self.members
    }

    /// The actor that owns `key`; `None` while there is no member.
    #[must_use]
    pub fn owner(&self, key: &ConnectionKey) -> Option<ShardId> {
        self.points.get(&HashedKey(key)).map(|point| point.shard)
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(Epoch::default(), BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::grant::LogIndex;

    const SHARDS: u16 = 2;
    /// The owners of the keys 0, 1, 2, … for 1, 2, 3 and 5 nodes, a line each. Two versions in one cluster must agree, so this file
    /// never changes: an `a` is shard 0 of the first node, a `b` its shard 1, a `c` shard 0 of the second, and so on.
    const GOLDEN: &str = include_str!("../../tests/golden/ring.txt");
    const SIZES: [u64; 4] = [1, 2, 3, 5];

    /// Node ids as they are drawn: all over the range.
    fn node(number: u64) -> NodeId {
        NodeId::new((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn ring(nodes: u64) -> Ring {
        let members = (0..nodes).map(|number| (node(number), ShardCount::new(SHARDS).unwrap())).collect();
        Ring::new(Epoch(LogIndex(nodes)), members)
    }

    fn owners(nodes: u64) -> String {
        let ring = ring(nodes);
        let letter = |number: u64| {
            let key = ConnectionKey::new("golden", &format!("key {number}")).unwrap();
            let owner = ring.owner(&key).unwrap();
            let place = (0..nodes).position(|number| node(number) == owner.node).unwrap() * usize::from(SHARDS);
            char::from(b'a' + u8::try_from(place + usize::from(owner.index)).unwrap())
        };
        (0..1000).map(letter).collect()
    }

    fn owning_node(letter: char) -> u64 {
        (u64::from(letter) - u64::from('a')) / u64::from(SHARDS)
    }

    #[test]
    fn the_owners_of_a_thousand_keys_are_those_of_every_version() {
        let owners: Vec<String> = SIZES.iter().map(|&nodes| owners(nodes)).collect();
        assert_eq!(owners.join("\n"), GOLDEN.trim_end());
    }

    #[test]
    fn of_three_nodes_each_owns_about_a_third_and_of_two_shards_each_about_half() {
        let owners = owners(3);
        for number in 0..3 {
            let share = owners.chars().filter(|&letter| owning_node(letter) == number).count();
            assert!((250..=420).contains(&share), "node {number} owns {share} of 1,000");
            let first = owners.chars().filter(|&letter| u64::from(letter) == u64::from('a') + 2 * number).count();
            assert!((share / 3..=share * 2 / 3).contains(&first), "its first shard owns {first} of {share}");
        }
    }

    #[test]
    fn a_node_that_comes_takes_keys_and_moves_no_others() {
        for nodes in 1..6 {
            let (before, after) = (owners(nodes), owners(nodes + 1));
            let moved: Vec<char> =
                before.chars().zip(after.chars()).filter(|(before, after)| before != after).map(|(_, after)| after).collect();
            assert!(moved.iter().all(|&owner| owning_node(owner) == nodes), "of {nodes} nodes");
            assert!(!moved.is_empty());
        }
    }
}
