//! Time as one node tells it: from an origin of its own, and not quite as fast as it passes.

use turnstile::engine::time::Timestamp;

/// A moment of the simulation, in nanoseconds since it began: what no node knows.
pub type Moment = u64;

pub const MILLISECOND: Moment = 1_000_000;
pub const SECOND: Moment = 1_000 * MILLISECOND;

/// A monotonic clock. A node that starts again has another one.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started_at: Moment,
    origin: u64,
    /// How much faster than time, in millionths.
    drift: i64,
}

impl Clock {
    pub const fn starting(started_at: Moment, origin: u64, drift: i64) -> Self {
        Self { started_at, origin, drift }
    }

    /// What it shows.
    pub fn at(&self, moment: Moment) -> Timestamp {
        let passed = i128::from(moment - self.started_at);
        let counted = passed + passed * i128::from(self.drift) / 1_000_000;
        Timestamp::from_nanos(self.origin + u64::try_from(counted).unwrap())
    }

    /// The first moment at which it shows `local`, or a little later.
    pub fn moment_of(&self, local: Timestamp) -> Moment {
        let counted = i128::from(local.as_nanos().saturating_sub(self.origin));
        let passed = counted * 1_000_000 / i128::from(1_000_000 + self.drift);
        self.started_at + u64::try_from(passed).unwrap() + 2
    }
}
