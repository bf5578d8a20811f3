//! How a run of a node becomes a member of the ring.

use std::time::Duration;

use super::committer::CommitError;
use super::submitter::Submitter;
use crate::clock;
use crate::engine::grant::{Epoch, Incarnation, ShardCount};
use crate::engine::ledger::{Answer, Command, Level};

/// How long a node waits before it tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Makes this run of the node a member that owns keys.
///
/// # Errors
/// [`CommitError::Stopped`] when consensus has stopped. Waits for a leader otherwise.
pub(crate) async fn join(submitter: &Submitter, incarnation: Incarnation, shards: ShardCount) -> Result<Epoch, CommitError> {
    let mut seen = Epoch::default();
    loop {
        match submitter.submit(&Command::Join { incarnation, shards, seen }).await {
            Ok(Answer::Joined { epoch }) => return Ok(epoch),
            Ok(Answer::Outdated { epoch }) => seen = epoch,
            Err(error @ CommitError::Stopped { .. }) => return Err(error),
            // No other answer is one to a join.
            Ok(_) | Err(CommitError::NotLeader { .. }) => clock::sleep(AGAIN_AFTER).await,
        }
    }
}

/// Has each connection held back for its longest window, and at most for so long: nobody knows what was granted before.
///
/// # Errors
/// As [`commit`].
pub(crate) async fn hold(submitter: &Submitter, at_most: Duration) -> Result<(), CommitError> {
    commit(submitter, Command::Hold { at_most }).await
}

/// Has the rules of this level hold, if those of an earlier one do.
///
/// # Errors
/// As [`commit`].
pub(crate) async fn raise(submitter: &Submitter, from: Level, to: Level) -> Result<(), CommitError> {
    if from < to { commit(submitter, Command::Raise { to }).await } else { Ok(()) }
}

/// Has a command committed, whatever its answer.
///
/// # Errors
/// [`CommitError::Stopped`] when consensus has stopped. Waits for a leader otherwise.
async fn commit(submitter: &Submitter, command: Command) -> Result<(), CommitError> {
    while let Err(error) = submitter.submit(&command).await {
        if matches!(error, CommitError::Stopped { .. }) {
            return Err(error);
        }
        clock::sleep(AGAIN_AFTER).await;
    }
    Ok(())
}
