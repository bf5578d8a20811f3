//! A limit for each of many keys, of which no more are kept than there is room for.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::LocalLimiter;
use crate::engine::rate::RateLimit;

/// As many keys are in use as a [`KeyedLimiter`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{max_keys} keys are in use: a key is forgotten when its limit is as if it had never been used")]
pub struct TooManyKeys {
    /// The bound.
    pub max_keys: NonZeroUsize,
}

/// The same limit for each key by itself.
///
/// A key is forgotten when there is no room for a new one, nobody holds or waits for its limiter, and nothing that was charged to it counts any more: never
/// earlier, so nobody gets more by being forgotten.
#[derive(Debug)]
pub struct KeyedLimiter<K> {
    limit: RateLimit,
    max_keys: NonZeroUsize,
    limiters: Mutex<BTreeMap<K, Arc<LocalLimiter>>>,
}

impl<K: Ord> KeyedLimiter<K> {
    /// A limiter for up to `max_keys` keys at a time.
    #[must_use]
    pub const fn new(limit: RateLimit, max_keys: NonZeroUsize) -> Self {
        Self { limit, max_keys, limiters: Mutex::new(BTreeMap::new()) }
    }

    /// The limiter of one key. It is kept for as long as anybody holds it. A new key takes a moment for each one that is known, when all places are taken.
    ///
    /// # Errors
    /// [`TooManyKeys`], when the key is new and none can be forgotten.
    pub fn of(&self, key: K) -> Result<Arc<LocalLimiter>, TooManyKeys> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = limiters.get(&key) {
            return Ok(Arc::clone(limiter));
        }
        if limiters.len() >= self.max_keys.get() {
            // Nobody else gets at those that only this map holds, for it is locked.
            limiters.retain(|_, limiter| Arc::strong_count(limiter) > 1 || !limiter.is_as_new());
        }
        if limiters.len() >= self.max_keys.get() {
            return Err(TooManyKeys { max_keys: self.max_keys });
        }
        Ok(Arc::clone(limiters.entry(key).or_insert_with(|| Arc::new(LocalLimiter::new(self.limit)))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::algorithm::Algorithm;

    #[test]
    fn a_key_is_forgotten_only_when_its_limit_is_as_new_and_nobody_holds_it() {
        for algorithm in Algorithm::ALL {
            let limit = RateLimit::new(1, Duration::from_secs(3600)).unwrap().by(algorithm);
            let keyed = KeyedLimiter::new(limit, NonZeroUsize::new(2).unwrap());
            keyed.of("used").unwrap().acquire(1).unwrap();
            let held = keyed.of("held").unwrap();
            assert_eq!(keyed.of("third").unwrap_err(), TooManyKeys { max_keys: keyed.max_keys });
            assert!(keyed.of("used").unwrap().try_acquire(1).is_err(), "{algorithm}: it is remembered");
            drop(held);
            drop(keyed.of("third").unwrap());
            assert!(keyed.of("used").unwrap().try_acquire(1).is_err(), "{algorithm}: it is still remembered");
        }
    }
}
