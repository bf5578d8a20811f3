//! The limits that operators set: for the whole cluster, whichever node is asked.

use super::connections::OutOfReach;
use super::{Admin, AdminError};
use crate::clock;
use crate::consensus::committer::CommitError;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Answer, Command};
use crate::engine::pattern::LimitPattern;
use crate::engine::rate::Limits;
use crate::owner::{Question, Told};

use super::{ANSWERS_WITHIN, TRIES_AGAIN_AFTER};

impl Admin {
    /// Sets the limits of all connections that `pattern` means. They rule from now on, over what callers say: whoever waits keeps its place, and what was granted
    /// before counts. Says whether the pattern had other limits before.
    ///
    /// # Errors
    /// [`AdminError::TooManyPatterns`], [`AdminError::NoQuorum`], [`AdminError::Stopped`].
    pub async fn set_limits(&self, pattern: LimitPattern, limits: Limits) -> Result<bool, AdminError> {
        match self.commit(&Command::SetLimits { pattern, limits }).await? {
            (Answer::LimitsSet { has_replaced }, _) => Ok(has_replaced),
            (Answer::TooManyPolicies { max }, _) => Err(AdminError::TooManyPatterns { max }),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Lets the limits of exactly this pattern rule no more; they go on for one window beside those that rule then. Says whether there were any.
    ///
    /// # Errors
    /// [`AdminError::NoQuorum`], [`AdminError::Stopped`].
    pub async fn delete_limits(&self, pattern: LimitPattern) -> Result<bool, AdminError> {
        match self.commit(&Command::DeleteLimits { pattern }).await? {
            // The answer to the first try may have been lost.
            (Answer::LimitsDeleted { were_set }, is_retry) => Ok(were_set || is_retry),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The limits that were set and rule over a connection, and by which pattern; `None` when its callers' own do.
    ///
    /// # Errors
    /// [`AdminError::NoQuorum`] at a node that follows others, when none of those answers.
    pub async fn limits(&self, key: &ConnectionKey) -> Result<Option<(LimitPattern, Limits)>, AdminError> {
        Ok(self.policies(Question::Ruling(key.clone())).await?.pop())
    }

    /// At most `at_most` of the limits that were set, in order of their patterns: of one platform or of all, behind a pattern or from the beginning.
    ///
    /// # Errors
    /// As for [`Admin::limits`].
    pub async fn list_limits(
        &self,
        platform: Option<&str>,
        after: Option<LimitPattern>,
        at_most: usize,
    ) -> Result<Vec<(LimitPattern, Limits)>, AdminError> {
        self.policies(Question::Policies(platform.map(str::to_owned), after, at_most)).await
    }

    async fn policies(&self, question: Question) -> Result<Vec<(LimitPattern, Limits)>, AdminError> {
        match self.ask_a_replica(question).await {
            Ok(Told::Policies(policies)) => Ok(policies),
            Ok(Told::Connections(_)) => Ok(Vec::new()),
            Err(OutOfReach) => Err(AdminError::NoQuorum { waited: ANSWERS_WITHIN }),
        }
    }

    /// Has a command committed, and says whether it was submitted more than once.
    async fn commit(&self, command: &Command) -> Result<(Answer, bool), AdminError> {
        let committed = async {
            let mut is_retry = false;
            loop {
                match self.submitter.submit(command).await {
                    Ok(answer) => return Ok((answer, is_retry)),
                    Err(CommitError::Stopped { reason }) => return Err(AdminError::Stopped { reason }),
                    Err(CommitError::NotLeader { .. }) => clock::sleep(TRIES_AGAIN_AFTER).await,
                }
                is_retry = true;
            }
        };
        clock::timeout(ANSWERS_WITHIN, committed).await.unwrap_or(Err(AdminError::NoQuorum { waited: ANSWERS_WITHIN }))
    }
}

/// Answers come with their commands.
fn unexpected(answer: &Answer) -> AdminError {
    AdminError::Stopped { reason: format!("the ledger has answered something else: {answer:?}") }
}
