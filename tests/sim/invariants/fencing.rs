//! Only the run that owns by the ring in force has anything charged: what it decided, it decided with everything in sight that was charged before. And
//! what a former run still says is not taken for the word of the one after it.

use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    let unfenced = world.witness.unfenced().map(|charge| format!("charged for somebody who was no owner: {charge}"));
    // Nobody starts a node twice here.
    let superseded = world.witness.superseded;
    unfenced.or_else(|| (superseded > 0).then(|| format!("{superseded} times a node was taken for one of its former runs")))
}
