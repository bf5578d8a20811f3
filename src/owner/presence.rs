//! Whether the router at the other end of a session is there: when it was heard last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::time::Timestamp;

/// A silence shorter than this says nothing: it is what timers and a busy machine take.
const LEAST_SILENCE: Duration = Duration::from_millis(4);

/// What a session hears of its router, and the owners look at.
#[derive(Debug)]
pub(crate) struct Presence {
    heard_at_nanos: AtomicU64,
    /// Whether an owner has looked since, and not found it.
    is_missed: AtomicBool,
}

impl Presence {
    /// Of a router that is heard at this moment.
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { heard_at_nanos: AtomicU64::new(now.as_nanos()), is_missed: AtomicBool::new(false) }
    }

    /// Notes that it is heard. Whether it was missed before: then those behind it are to be recalled.
    pub(crate) fn hear(&self, now: Timestamp) -> bool {
        self.heard_at_nanos.fetch_max(now.as_nanos(), Ordering::SeqCst);
        self.is_missed.swap(false, Ordering::SeqCst)
    }

    /// Whether it was heard within `silence`. If not, the next word of it is known to be one of somebody who was missed.
    pub(crate) fn is_heard(&self, now: Timestamp, silence: Duration) -> bool {
        let silence = silence.max(LEAST_SILENCE);
        let is_heard = || {
            let heard_at = Timestamp::from_nanos(self.heard_at_nanos.load(Ordering::SeqCst));
            now.saturating_since(heard_at) <= silence
        };
        if is_heard() {
            return true;
        }
        self.is_missed.store(true, Ordering::SeqCst);
        // A word that came between the two did not see that it was missed.
        is_heard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn who_is_heard_often_enough_is_there_and_is_not_missed() {
        let at = |millis| Timestamp::ZERO + ms(millis);
        let presence = Presence::new(at(100));
        assert!(presence.is_heard(at(110), ms(10)));
        assert!(!presence.hear(at(111)));
        // By the clock of an owner that has read it a moment before.
        assert!(presence.is_heard(at(105), ms(10)));
    }

    #[test]
    fn who_was_missed_is_told_so_once_by_its_next_word() {
        let at = |millis| Timestamp::ZERO + ms(millis);
        let presence = Presence::new(at(100));
        assert!(!presence.is_heard(at(111), ms(10)));
        assert!(presence.hear(at(112)));
        assert!(!presence.hear(at(113)));
        assert!(presence.is_heard(at(113), ms(10)));
    }

    #[test]
    fn a_silence_that_timers_cause_is_none() {
        let presence = Presence::new(Timestamp::ZERO);
        assert!(presence.is_heard(Timestamp::ZERO + LEAST_SILENCE, Duration::from_nanos(1)));
    }
}
