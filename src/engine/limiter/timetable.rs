//! When calls would be granted, each as early as its limit allows: a limit on a virtual clock, at once.
//!
//! Must not: know of margins. It shows what an algorithm does, and calls arrive the moment they are granted.

use std::time::Duration;

use thiserror::Error;

use super::meter::Meter;
use super::room::Room;
use crate::engine::rate::RateLimit;
use crate::engine::time::Timestamp;

/// One call of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Units that it takes; 0 is granted at once.
    pub amount: u32,
    /// How long after the grant before it is made.
    pub after: Duration,
}

/// Why there is no time for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoTime {
    /// It takes more than the limit ever has.
    #[error("amount is {amount}: it takes at most the capacity of {capacity}")]
    OverCapacity {
        /// What the call takes.
        amount: u32,
        /// What the limit has.
        capacity: u32,
    },
    /// Its time is past the last one that a number of 64 bits has.
    #[error("call {place} would be granted later than 584 years after the first: choose shorter gaps or fewer calls")]
    BeyondTime {
        /// Which call, counted from 1.
        place: usize,
    },
}

/// The moments at which `limit`, without its margins, grants `calls`, one after another; the first is made at the origin and its own gap later.
///
/// # Errors
/// The first call that has no time.
pub fn grant_times(limit: &RateLimit, calls: impl IntoIterator<Item = Call>) -> Result<Vec<Timestamp>, NoTime> {
    let mut meter = Meter::plain(limit);
    let (mut now, mut times) = (Timestamp::ZERO, Vec::new());
    for (place, call) in (1..).zip(calls) {
        let made_at = now.checked_add(call.after).ok_or(NoTime::BeyondTime { place })?;
        let capacity = limit.request_count().get();
        now = match meter.check(made_at, u64::from(call.amount)) {
            _ if call.amount > capacity => return Err(NoTime::OverCapacity { amount: call.amount, capacity }),
            _ if call.amount == 0 => made_at,
            Room::Ready => made_at,
            Room::NotBefore(at) => at,
            Room::Never => return Err(NoTime::BeyondTime { place }),
        };
        meter.charge(now, now, call.amount);
        times.push(now);
    }
    Ok(times)
}
