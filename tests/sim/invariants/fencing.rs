//! Only the run that owns by the ring in force has anything charged: what it decided, it decided with everything in sight that was charged before.

use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.unfenced().map(|charge| format!("charged for somebody who was no owner: {charge}"))
}
