//! The same log gives the same answers and the same state everywhere, and ledger time never goes back.

use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    let found = world.witness.differing.first().or(world.witness.backwards.first()).cloned();
    found.or_else(|| {
        let mut nodes = world.nodes.iter().filter(|node| node.is_up);
        let first = nodes.next()?;
        let other = nodes.find(|node| node.applied == first.applied && node.ledger != first.ledger)?;
        Some(format!("nodes {} and {} differ after entry {}", first.id, other.id, first.applied))
    })
}
