//! What operators ask about the connections of a node, and about the limits that rule.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::look::ANSWERS_WITHIN;
use super::{Message, OwnersHandle};
use crate::clock;
use crate::consensus::state_machine::LedgerReader;
use crate::engine::key::ConnectionKey;
use crate::engine::pattern::LimitPattern;
use crate::engine::rate::Limits;
use crate::engine::shard::ConnectionReport;

/// A question that any replica can answer about itself. Between nodes by position in the codec: new ones come last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Which of your connections are the busiest, at most so many?
    Busiest(usize),
    /// How is this connection of yours?
    Connection(ConnectionKey),
    /// Which limits were set, of this platform or of all, behind this pattern or from the beginning, at most so many?
    Policies(Option<String>, Option<LimitPattern>, usize),
    /// Which limits that were set rule over this connection?
    Ruling(ConnectionKey),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// These connections.
    Connections(Vec<ConnectionReport>),
    /// These limits.
    Policies(Vec<(LimitPattern, Limits)>),
}

/// Who knows the answers.
#[derive(Debug, Clone)]
pub(crate) struct Informant {
    owners: OwnersHandle,
    ledger: LedgerReader,
}

impl Informant {
    /// That of a node with these owners and this ledger.
    pub(crate) const fn new(owners: OwnersHandle, ledger: LedgerReader) -> Self {
        Self { owners, ledger }
    }

    /// Answers a question. A shard that crashes meanwhile says nothing.
    pub(crate) async fn tell(&self, question: Question) -> Told {
        match question {
            Question::Busiest(top) => Told::Connections(self.busiest(top).await),
            Question::Connection(key) => Told::Connections(self.inspect(key).await.into_iter().collect()),
            Question::Policies(platform, after, at_most) => {
                let policies = self.ledger.policies();
                let policies = policies.borrow();
                let is_meant = |pattern: &LimitPattern| platform.as_ref().is_none_or(|platform| pattern.platform() == platform);
                let behind = |pattern: &LimitPattern| after.as_ref().is_none_or(|after| pattern > after);
                let found = policies.iter().filter(|(pattern, _)| is_meant(pattern) && behind(pattern));
                Told::Policies(found.take(at_most).map(|(pattern, limits)| (pattern.clone(), limits.clone())).collect())
            }
            Question::Ruling(key) => {
                let policies = self.ledger.policies();
                let ruling = policies.borrow().ruling(&key).map(|(pattern, limits)| (pattern.clone(), limits.clone()));
                Told::Policies(ruling.into_iter().collect())
            }
        }
    }

    async fn busiest(&self, top: usize) -> Vec<ConnectionReport> {
        let keys = self.owners.busiest(top).await;
        // All together: who asked waits no longer for many than for one.
        let residents = join_all(keys.iter().map(|key| self.resident(key))).await;
        let mut found: Vec<_> = residents.into_iter().flatten().flatten().collect();
        found.sort_by_cached_key(ConnectionReport::rank);
        found
    }

    /// Of one that is not in memory, what the ledger has of it: it may be paused.
    async fn inspect(&self, key: ConnectionKey) -> Option<ConnectionReport> {
        let resident = self.resident(&key).await?;
        let resting = || self.ledger.limiter(&key).0.ok().map(|limiter| (limiter, self.ledger.newest_stamp().0));
        resident.or_else(|| resting().map(|(limiter, now)| ConnectionReport::resting(key.clone(), &limiter, now)))
    }

    /// Of one that is in memory, if it is; `None` without an answer of its owner.
    async fn resident(&self, key: &ConnectionKey) -> Option<Option<ConnectionReport>> {
        let owner = self.ledger.ring().borrow().owner(key)?;
        let (reply, answer) = oneshot::channel();
        drop(self.owners.shard(owner)?.cast(Message::Inspect(key.clone(), reply)));
        clock::timeout(ANSWERS_WITHIN, answer).await.ok()?.ok()
    }
}
