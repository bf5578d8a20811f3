//! What must hold, a file for each.

mod answer;
mod bounded;
mod fencing;
mod limit_at_ledger;
mod limit_at_worker;
mod membership;
mod once;
mod order;
mod priority;
mod replicas;
mod waste;

use crate::world::World;

/// An invariant: what is wrong, if anything is.
type Invariant = fn(&World) -> Option<String>;

/// By name.
pub const ALL: [(&str, Invariant); 11] = [
    ("I1 at the ledger", limit_at_ledger::check),
    ("I1 at the worker", limit_at_worker::check),
    ("I2", priority::check),
    ("I3", order::check),
    ("I4", answer::check),
    ("I5", once::check),
    ("I6", waste::check),
    ("fencing", fencing::check),
    ("replicas agree", replicas::check),
    ("membership", membership::check),
    ("bounded memory", bounded::check),
];
