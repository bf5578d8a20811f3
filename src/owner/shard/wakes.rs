//! When a shard looks at its connections again: one timer, for the first of all wakes.

use super::{Message, State};
use crate::engine::key::ConnectionKey;
use crate::engine::throttle::Now;

impl State {
    /// Looks at every connection whose time has come.
    pub(super) fn wake(&mut self, now: Now) {
        if let Some((_, timer)) = self.timer.take() {
            // It is not always this one that has rung.
            timer.abort();
        }
        while let Some((at, key)) = self.wakes.pop_first() {
            if at > now.local {
                self.wakes.insert((at, key));
                break;
            }
            if let Some(resident) = self.connections.get_mut(&key) {
                resident.wakes_at = None;
            }
            self.with(now, &key, |_, _, _| ());
        }
        self.arm();
    }

    /// Notes when the connection wants to be looked at again, or lets it leave memory.
    pub(super) fn schedule(&mut self, now: Now, key: &ConnectionKey) {
        let Some(resident) = self.connections.get_mut(key) else { return };
        if resident.throttle.is_idle(now) {
            self.leave(key);
            return;
        }
        if resident.throttle.queue().is_empty() {
            resident.throttle.shrink();
        }
        let Some(at) = resident.throttle.next_wake(now) else { return };
        if resident.wakes_at.is_none_or(|earlier| at < earlier) {
            if let Some(later) = resident.wakes_at.replace(at) {
                self.wakes.remove(&(later, key.clone()));
            }
            self.wakes.insert((at, key.clone()));
            self.arm();
        }
    }

    /// Keeps one timer, for the first wake.
    fn arm(&mut self) {
        let Some(&(at, _)) = self.wakes.first() else { return };
        if self.timer.as_ref().is_some_and(|&(armed, _)| armed <= at) {
            return;
        }
        let (clock, myself) = (self.arguments.shared.clock, self.myself.clone());
        let timer = tokio::spawn(async move {
            clock.sleep_until(at).await;
            drop(myself.cast(Message::Wake));
        });
        if let Some((_, later)) = self.timer.replace((at, timer)) {
            later.abort();
        }
    }
}
