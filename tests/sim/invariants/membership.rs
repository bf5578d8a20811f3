//! Who keeps the log changes by one change at a time, each from what was committed before; a term has one leader; and nothing depends on a node that says
//! that it has gone. That nothing which was committed is lost by a change is for `replicas` to find: another entry would stand in its place.

use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.witness.keepers.broken().cloned()
}
