//! I7, as far as it can be seen here: when nobody calls any more, nothing is kept.

use turnstile::engine::membership::Role;

use crate::world::World;

/// How many commands a leader may have to write.
const MAX_INBOX: usize = 16;

pub fn check(world: &World) -> Option<String> {
    world.living().map(|n| &world.nodes[n]).find_map(|node| {
        // Who has no log any more forgets nothing that it had.
        let tracked = if node.role() == Role::Observer { 0 } else { node.ledger.tracked() };
        let (residents, waiters) = (node.residents(), node.waiters());
        let (homeless, inbox, proposals) = (node.homeless.len(), node.inbox.len(), node.proposer.waiting.len());
        // A leader may have a tick or a mark-down to write at any time.
        let kept = tracked + residents + waiters + homeless + proposals + inbox.saturating_sub(MAX_INBOX);
        let of_consensus = format!("{inbox} commands at the leader, {proposals} proposals");
        let of_owners = format!("{tracked} connections tracked, {residents} resident, {waiters} waiters");
        (kept > 0).then(|| format!("node {}: {of_owners}, {homeless} calls without a place, {of_consensus}", node.id))
    })
}
