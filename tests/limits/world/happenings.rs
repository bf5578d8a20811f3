//! What happens to the world from outside: calls, and what becomes of their workers and of the leader.

use std::time::Duration;

use turnstile::engine::cost::Cost;
use turnstile::engine::grant::RequestId;
use turnstile::engine::ledger::{Action, Adjusted, Adjustment, Command};
use turnstile::engine::rate::{Limits, Niceness};
use turnstile::engine::throttle::{Acquire, Bounds, Patience};
use turnstile::engine::time::LedgerTime;

use super::World;

impl World {
    /// A new call; `reply` and what it answers are one number.
    pub(crate) fn acquire(&mut self, acquire: Acquire<()>) {
        let Acquire { request, retryable, niceness, cost, limits, waited, patience, reply: () } = acquire;
        let reply = self.acquires.len();
        let acquire = Acquire { request, retryable, niceness, cost, limits, waited, patience, reply };
        self.acquires.push(acquire.clone());
        self.answers.push(0);
        let (now, mut effects) = (self.both(), Vec::new());
        let bounds = Bounds { max_waiters: 5000, strict_limits: false };
        self.throttle.acquire(now, acquire, bounds, &mut self.sequence, &mut effects);
        self.settle(effects);
    }

    /// Sends a call again under its request id.
    pub(crate) fn retry(&mut self, back: usize) {
        let Some(acquire) = self.acquires.iter().rev().nth(back).filter(|acquire| acquire.retryable) else { return };
        let Acquire { request, retryable, niceness, cost, limits, waited, patience, .. } = acquire.clone();
        self.acquire(Acquire { request, retryable, niceness, cost, limits, waited, patience, reply: () });
    }

    pub(crate) fn cancel(&mut self, back: usize) {
        let Some(request) = self.acquires.iter().rev().nth(back).map(|acquire| acquire.request) else { return };
        if let Some(reply) = self.throttle.cancel(request, |_| true) {
            self.answer(reply);
        }
        self.settle(Vec::new());
    }

    /// Nobody hears any more of the worker that made this call.
    pub(crate) fn fall_silent(&mut self, back: usize) {
        self.silent.extend(self.acquires.len().checked_sub(back + 1));
    }

    /// All workers are heard again.
    pub(crate) fn hear_all(&mut self) {
        self.silent.clear();
        let slowest = self.slowest.get(self.now);
        self.throttle.recall(slowest, &mut self.sequence, |_, _| true);
        self.settle(Vec::new());
    }

    /// The ledger commits a pause, and the owner learns of it.
    pub(crate) fn pause(&mut self, pause: Duration) {
        // A node sends one batch at a time.
        if self.is_waiting() {
            return;
        }
        let batch = self.batch(Action::Adjust(Adjustment::Penalize(pause)));
        self.apply(Command::Propose(batch));
        let (stamp, until) = (self.ledger.now(), self.ledger.now() + pause);
        self.throttle.adjusted(stamp, &Adjusted::Paused { until });
        self.settle(Vec::new());
    }

    /// Leadership moves: ledger time goes on from the newest stamp, and what has passed since then, at most `lost`, is not counted.
    pub(crate) fn move_leadership(&mut self, lost: Duration) {
        let uncounted = LedgerTime::from_nanos(self.now.as_nanos()).saturating_since(self.ledger.now());
        self.lag = uncounted.min(self.lag + lost);
    }

    /// A call without anything special, behind all others of its niceness.
    pub(crate) fn plain(&self, niceness: u32, cost: Cost, limits: &Limits, patience: Patience) -> Acquire<()> {
        Acquire {
            request: RequestId::new(u128::try_from(self.acquires.len()).expect("usize is narrower")),
            retryable: false,
            niceness: Niceness::new(niceness),
            cost,
            limits: limits.clone(),
            waited: Duration::ZERO,
            patience,
            reply: (),
        }
    }
}
