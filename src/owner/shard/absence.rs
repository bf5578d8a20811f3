//! Those who wait behind a session whose router is silent.

use std::time::Duration;

use super::State;
use crate::engine::key::ConnectionKey;
use crate::engine::throttle::Now;
use crate::owner::offer::Reply;

/// Whether the one behind a reply was heard of within so long.
pub(super) fn present(now: Now) -> impl Fn(&Reply, Duration) -> bool + Copy {
    move |reply, silence| reply.is_present(now.local, silence)
}

impl State {
    /// Keeps in mind where somebody is set aside.
    pub(super) fn note_aside(&mut self, key: &ConnectionKey, has_aside: bool) {
        if has_aside {
            if !self.aside.contains(key) {
                self.aside.insert(key.clone());
            }
        } else if !self.aside.is_empty() {
            self.aside.remove(key);
        }
    }

    /// Somebody is heard again: lets those wait again who are behind them.
    pub(super) fn recall(&mut self, now: Now) {
        let slowest = self.slowest.get(now.local);
        for key in std::mem::take(&mut self.aside) {
            self.with(now, &key, |throttle, sequence, _| throttle.recall(slowest, sequence, present(now)));
        }
    }
}
