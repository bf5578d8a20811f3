//! I4: every call ends, once.

use crate::call::Place;
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    world.calls.iter().enumerate().find_map(|(number, call)| {
        let began = call.place != Place::Outside && !call.is_orphaned;
        (began && call.ends.len() != 1 || call.ends.len() > 1)
            .then(|| format!("call {number} ended {} times: {call:?}", call.ends.len()))
    })
}
