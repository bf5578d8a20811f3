//! Two time lines that must never be mixed: a process's own clock, and the ledger's.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a moment is measured on.
pub trait TimeLine: Copy + Ord + Hash + Default + fmt::Debug {}

/// The time line of one process's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Local;

/// The time line that the ledger's log carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ledger;

impl TimeLine for Local {}
impl TimeLine for Ledger {}

/// A moment on time line `L`, in whole nanoseconds since that line's origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Moment<L: TimeLine> {
    nanos: u64,
    #[serde(skip)]
    line: PhantomData<L>,
}

/// A moment by this process's monotonic clock. It means nothing in another process.
pub type Timestamp = Moment<Local>;

/// A moment in ledger time: the same for every replica and every replay.
pub type LedgerTime = Moment<Ledger>;

impl<L: TimeLine> Moment<L> {
    /// The line's origin.
    pub const ZERO: Self = Self::from_nanos(0);

    /// The line's end: what lies there never comes.
    pub const END: Self = Self::from_nanos(u64::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { nanos, line: PhantomData }
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// How long after `earlier` this is; zero when it isn't.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// The moment `span` later; `None` when the line ends before.
    #[must_use]
    pub fn checked_add(self, span: Duration) -> Option<Self> {
        u64::try_from(span.as_nanos()).ok().and_then(|span| self.nanos.checked_add(span)).map(Self::from_nanos)
    }

    /// The moment `span` earlier; the origin when there is none.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self::from_nanos(self.nanos.saturating_sub(nanos_of(span)))
    }
}

/// The later moment `span` on; the line's end when there is none.
impl<L: TimeLine> Add<Duration> for Moment<L> {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self::from_nanos(self.nanos.saturating_add(nanos_of(span)))
    }
}

/// A span in whole nanoseconds; 584 years for anything longer.
#[must_use]
pub fn nanos_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl<L: TimeLine> fmt::Debug for Moment<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.nanos))
    }
}
