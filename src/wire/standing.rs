//! How a node stands in its cluster, and the ring, between messages and the engine's types.
//!
//! Promises: what a peer sends is parsed here, once; what doesn't parse is named by its field and the rule.

use std::collections::BTreeMap;

use super::fields::{BadField, epoch};
use super::v1;
use crate::engine::grant::{NodeId, ShardCount};
use crate::engine::ledger::Level;
use crate::engine::membership::{KnownReplicas, Replicas};
use crate::engine::ring::Ring;

/// The most members that a ring may have on its way: many more than there ever are replicas.
const MAX_MEMBERS: usize = 1024;

/// How a node stands, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The newest replicas that it knows of, by an entry that is committed.
    pub known: Option<KnownReplicas>,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Whether it has the log and is in touch with a quorum.
    pub serves: bool,
    /// Whether it wants to go.
    pub is_leaving: bool,
    /// By which rules its ledger applies entries.
    pub level: Level,
    /// The newest level that it knows.
    pub newest_level: Level,
}

/// A standing as it travels.
pub(crate) fn from_standing(standing: &Standing) -> v1::Standing {
    let ids = |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().map(|node| node.get()).collect();
    let replicas = standing.known.as_ref().map(|KnownReplicas { at: (term, index), replicas }| v1::Replicas {
        term: *term,
        index: *index,
        voters: ids(&replicas.voters),
        spares: ids(&replicas.spares),
    });
    let Standing { leader, serves, is_leaving, level, newest_level, .. } = *standing;
    let (leader, level, newest_level) = (leader.map(NodeId::get), level.get(), newest_level.get());
    v1::Standing { replicas, leader, serves, is_leaving, level, newest_level }
}

/// Parses a standing; one that says nothing is that of a node without a cluster.
pub(crate) fn standing(message: Option<v1::Standing>) -> Standing {
    let v1::Standing { replicas, leader, serves, is_leaving, level, newest_level } = message.unwrap_or_default();
    let known = replicas.map(|v1::Replicas { term, index, voters, spares }| {
        let nodes = |ids: Vec<u64>| ids.into_iter().map(NodeId::new).collect();
        KnownReplicas { at: (term, index), replicas: Replicas { voters: nodes(voters), spares: nodes(spares) } }
    });
    let (level, newest_level) = (Level::new(level), Level::new(newest_level));
    Standing { known, leader: leader.map(NodeId::new), serves, is_leaving, level, newest_level }
}

/// A ring as it travels.
pub(crate) fn from_ring(ring: &Ring) -> v1::Ring {
    let members = ring.members().iter();
    let members = members.map(|(node, shards)| v1::RingMember { node: node.get(), shards: u32::from(shards.get()) });
    v1::Ring { epoch: ring.epoch().0.0, members: members.collect() }
}

/// Parses a ring.
///
/// # Errors
/// The first member that breaks a rule.
pub(crate) fn ring(message: &v1::Ring) -> Result<Ring, BadField> {
    if message.members.len() > MAX_MEMBERS {
        let rule = format!("has {} members: a ring has at most {MAX_MEMBERS}", message.members.len());
        return Err(BadField::new("ring.members", rule));
    }
    let member = |(place, member): (usize, &v1::RingMember)| {
        let shards = u16::try_from(member.shards).ok().and_then(ShardCount::new);
        let rule = || format!("is {}: it must be 1 to 65535", member.shards);
        let shards = shards.ok_or_else(|| BadField::new(format!("ring.members[{place}].shards"), rule()))?;
        Ok((NodeId::new(member.node), shards))
    };
    let members: BTreeMap<NodeId, ShardCount> = message.members.iter().enumerate().map(member).collect::<Result<_, _>>()?;
    Ok(Ring::new(epoch(message.epoch), members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_and_a_ring_come_back_as_they_went() {
        let node = NodeId::new;
        let replicas = Replicas { voters: [node(1), node(2)].into(), spares: [node(3)].into() };
        let known = Some(KnownReplicas { at: (7, 9), replicas });
        let told = Standing {
            known,
            leader: Some(node(1)),
            serves: true,
            is_leaving: true,
            level: Level::new(3),
            newest_level: Level::new(4),
        };
        assert_eq!(standing(Some(from_standing(&told))), told);
        assert_eq!(standing(None), Standing::default());
        let whole = Ring::new(epoch(5), [(node(1), ShardCount::MIN), (node(9), ShardCount::MAX)].into());
        assert_eq!(ring(&from_ring(&whole)), Ok(whole));
    }

    #[test]
    fn a_member_without_shards_and_a_ring_without_end_are_refused() {
        let member = v1::RingMember { node: 1, shards: 0 };
        let refused = ring(&v1::Ring { epoch: 1, members: vec![member] }).unwrap_err().to_string();
        assert_eq!(refused, "ring.members[0].shards: is 0: it must be 1 to 65535");
        let members = vec![v1::RingMember { node: 1, shards: 1 }; MAX_MEMBERS + 1];
        let refused = ring(&v1::Ring { epoch: 1, members }).unwrap_err().to_string();
        assert_eq!(refused, "ring.members: has 1025 members: a ring has at most 1024");
    }
}
