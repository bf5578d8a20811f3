//! By which algorithm a limit counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::invalid::InvalidInput;

/// What a limit of `count` per `window` promises, and what it remembers for that.
///
/// The window is the strictest: never more than `count` in any rolling window. The four buckets let `count` go at once and then one each
/// `window / count`, so that any span `t` sees at most `count + t · count / window`. They grant at identical times and differ in what they keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// The charges of one rolling window.
    #[default]
    SlidingWindow,
    /// Tokens that come back at a steady rate.
    TokenBucket,
    /// A level that leaks at a steady rate.
    LeakyBucket,
    /// The generic cell rate algorithm by virtual scheduling (ITU-T I.371): the theoretical arrival time of the next request.
    GcraVirtual,
    /// The generic cell rate algorithm as a continuous-state leaky bucket (ITU-T I.371).
    GcraContinuous,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SlidingWindow, Self::TokenBucket, Self::LeakyBucket, Self::GcraVirtual, Self::GcraContinuous];

    /// Its name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlidingWindow => "sliding_window",
            Self::TokenBucket => "token_bucket",
            Self::LeakyBucket => "leaky_bucket",
            Self::GcraVirtual => "gcra_virtual",
            Self::GcraContinuous => "gcra_continuous",
        }
    }

    /// Whether it promises a rate and a burst, and not what any window holds.
    #[must_use]
    pub const fn is_bucket(self) -> bool {
        !matches!(self, Self::SlidingWindow)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = InvalidInput;

    /// # Errors
    /// [`InvalidInput::UnknownAlgorithm`].
    fn from_str(name: &str) -> Result<Self, InvalidInput> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.name() == name);
        known.ok_or_else(|| InvalidInput::UnknownAlgorithm { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_known_by_its_name_and_no_other() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        let error = "token bucket".parse::<Algorithm>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "algorithm is \"token bucket\": it takes sliding_window, token_bucket, leaky_bucket, gcra_virtual or gcra_continuous"
        );
    }
}
