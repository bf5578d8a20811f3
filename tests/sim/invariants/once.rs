//! I5: a request is charged once by a living owner, however often it is sent, until its slot has left the window. What came back unused is no charge,
//! and an owner whose connections moved away meanwhile has not lived on for them.

use turnstile::engine::grant::Epoch;

use crate::witness::{Account, Started};
use crate::world::World;

pub fn check(world: &World) -> Option<String> {
    if let Some(twice) = world.witness.applied_twice.first() {
        return Some(format!("applied twice: {twice}"));
    }
    world.witness.accounts.iter().find_map(|account| {
        let window = account.connection.limits.iter().flat_map(|limits| limits.iter()).map(|limit| limit.window()).min()?;
        account.started.iter().enumerate().find_map(|(place, one)| {
            let again = account.started[place + 1..].iter().find(|other| {
                // By the owner's clock: ledger time may have lagged.
                let between = other.grant.released_at.saturating_since(one.grant.released_at);
                let is_again = (other.grant.tenure, other.request) == (one.grant.tenure, one.request);
                is_again && between < window && life(account, one) == life(account, other)
            })?;
            Some(format!("{}: started twice: {one:?} and {again:?}", account.connection.key))
        })
    })
}

/// Which life of its owner let it go: by which ring, after how many crashes.
fn life(account: &Account, started: &Started) -> Option<(Epoch, u64)> {
    let is_it = |(tenure, release)| (tenure, release) == (started.grant.tenure, started.grant.release);
    account.released.iter().find(|released| is_it((released.grant.tenure, released.grant.release))).map(|released| released.life)
}
