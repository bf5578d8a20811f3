//! How a node comes to its cluster.
//!
//! One that has a log goes on with it. Else it comes to the cluster of whoever it hears that is in touch with a quorum. Else, where nobody has a cluster, enough
//! nodes choose one: see `engine::founding`. The lowest of those it sees makes the attempt.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tonic::Status;

use super::Peers;
use super::link::Heard;
use crate::clock;
use crate::consensus::transport::{Call, Transport as _};
use crate::consensus::{BelongingError, Consensus, ConsensusError, FoundingAnswer};
use crate::engine::founding::{Ballot, Founding, Proposer};
use crate::engine::grant::{ClusterId, NodeId};
use crate::engine::time::Timestamp;
use crate::wire::codec;

/// How often a node looks who is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long it must have seen the same nodes before it makes an attempt: others that start at this moment are to be among them.
const STABLE_FOR: Duration = Duration::from_millis(300);

/// How long an answer is waited for: it takes a sync.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// The longest that a node waits before another attempt, so that two who outbid each other differ in time.
const LONGEST_PAUSE_MILLIS: u64 = 300;

/// How often a node that waits says for whom.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What is said to a node without a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Founder {
    Prepare(Ballot),
    Accept(Ballot, Founding),
    /// This was chosen.
    Chosen(Founding),
}

/// Returns when this node has a cluster.
///
/// # Errors
/// [`ConsensusError`] when consensus has stopped.
pub(crate) async fn form(peers: &Peers, consensus: &Arc<Consensus>, expect: NonZeroUsize) -> Result<(), ConsensusError> {
    let (clock, belonging) = (peers.shared.clock, consensus.belonging());
    let mut stable: Option<(BTreeSet<NodeId>, Timestamp)> = None;
    let mut highest = None;
    let mut say_at = clock.now() + Duration::from_secs(2);
    loop {
        if consensus.has_log().await? {
            return Ok(());
        }
        if belonging.is_bound() {
            // It may have ended between the choice and the first entry.
            return match belonging.chosen() {
                Some(founding) => consensus.found(&founding).await,
                None => Ok(()),
            };
        }
        let (now, heard): (_, Vec<Heard>) = (clock.now(), peers.there().collect());
        let serving: BTreeSet<ClusterId> =
            heard.iter().filter(|heard| heard.standing.serves).filter_map(|heard| heard.cluster).collect();
        let bound = heard.iter().filter(|heard| heard.cluster.is_some()).count();
        if let (1, Some(cluster)) = (serving.len(), serving.first()) {
            heard.iter().filter(|heard| heard.standing.serves).try_for_each(|heard| heard.standing.level.check())?;
            tracing::info!(%cluster, "coming to a cluster");
            consensus.bind(*cluster).await?;
            continue;
        }
        let unbound: BTreeSet<NodeId> =
            heard.iter().filter(|heard| heard.cluster.is_none()).map(|heard| heard.by.node).chain([peers.node()]).collect();
        let since = match stable.take() {
            Some((former, since)) if former == unbound => since,
            _ => now,
        };
        let is_first = unbound.first() == Some(&peers.node());
        if bound == 0 && is_first && unbound.len() >= expect.get() && now.saturating_since(since) >= STABLE_FOR {
            highest = attempt(peers, consensus, expect, &unbound, highest).await?;
        }
        if now >= say_at {
            let (seen, clusters) = (unbound.len(), serving.len());
            let trouble = peers.report();
            tracing::warn!(seen, %expect, bound, clusters, peers = ?trouble, "waiting for a cluster: for enough nodes without one, or for one cluster that serves");
            say_at = now + SAY_EVERY;
        }
        stable = Some((unbound, since));
        clock::sleep(LOOK_EVERY).await;
    }
}

/// Tries to have a founding chosen by those nodes, and tells them when it is. Returns the highest ballot that was heard of.
async fn attempt(
    peers: &Peers,
    consensus: &Arc<Consensus>,
    expect: NonZeroUsize,
    seen: &BTreeSet<NodeId>,
    highest: Option<Ballot>,
) -> Result<Option<Ballot>, ConsensusError> {
    let belonging = consensus.belonging();
    let ballot = Ballot::after(highest.max(belonging.promised()), peers.node());
    let mut proposer = Proposer::new(ballot, expect, Founding::of(belonging.cluster(), seen));
    let own = BTreeSet::from([peers.node()]);
    let others = seen.difference(&own).copied().collect();
    // This node's own word is on its disk before anybody hears of the ballot: no ballot is used twice.
    let mut promises = ask_all(peers, consensus, &own, &Founder::Prepare(ballot)).await;
    promises.extend(ask_all(peers, consensus, &others, &Founder::Prepare(ballot)).await);
    for (node, answer) in promises {
        if let FoundingAnswer::Promise(promise) = answer {
            proposer.promised(node, promise);
        }
    }
    if let Some(founding) = proposer.asks_for().cloned() {
        for (node, answer) in ask_all(peers, consensus, seen, &Founder::Accept(ballot, founding)).await {
            if let FoundingAnswer::Acceptance(acceptance) = answer {
                proposer.accepted(node, acceptance);
            }
        }
    }
    if let Some(founding) = proposer.chosen().cloned() {
        tracing::info!(cluster = %founding.cluster, voters = ?founding.voters, "a cluster is founded");
        ask_all(peers, consensus, seen, &Founder::Chosen(founding)).await;
        return Ok(None);
    }
    clock::sleep(Duration::from_millis(rand::random_range(0..LONGEST_PAUSE_MILLIS))).await;
    Ok(Some(proposer.highest()))
}

/// Asks all of them at once, this node if it is among them, and returns what they answer in time.
async fn ask_all(
    peers: &Peers,
    consensus: &Arc<Consensus>,
    nodes: &BTreeSet<NodeId>,
    message: &Founder,
) -> Vec<(NodeId, FoundingAnswer)> {
    let Ok(body) = codec::encode(message) else { return Vec::new() };
    let mut asked = JoinSet::new();
    for &node in nodes {
        let (peers, consensus, body) = (peers.clone(), Arc::clone(consensus), body.clone());
        asked.spawn(async move {
            let answer = if node == peers.node() {
                answer(&consensus, &body).await.map_err(|status| status.message().to_owned())
            } else {
                peers.call(node, Call::Found, body, ANSWERED_WITHIN).await.map_err(|error| error.to_string())
            };
            (node, answer.and_then(|body| codec::decode(&body).map_err(|error| error.to_string())))
        });
    }
    let mut answers = Vec::new();
    while let Some(asked) = asked.join_next().await {
        match asked {
            Ok((node, Ok(answer))) => answers.push((node, answer)),
            Ok((node, Err(error))) => tracing::debug!(%node, %error, "a node did not answer who founds a cluster"),
            Err(error) => tracing::warn!(%error, "a question of a founder ended abnormally"),
        }
    }
    answers
}

/// Answers a founder, who may be this node.
///
/// # Errors
/// A status that says what is wrong with the message, or with this node.
pub(super) async fn answer(consensus: &Arc<Consensus>, body: &[u8]) -> Result<Vec<u8>, Status> {
    let belonging = Arc::clone(consensus.belonging());
    let message = codec::decode::<Founder>(body).map_err(|error| Status::invalid_argument(format!("body: {error}")))?;
    let answer = match message {
        Founder::Prepare(ballot) => blocking(move || belonging.prepare(ballot)).await?,
        Founder::Accept(ballot, founding) => blocking(move || belonging.accept(ballot, founding)).await?,
        Founder::Chosen(founding) => {
            consensus.found(&founding).await.map_err(|error| Status::unavailable(error.to_string()))?;
            FoundingAnswer::Bound
        }
    };
    codec::encode(&answer).map_err(|error| Status::internal(error.to_string()))
}

async fn blocking(
    work: impl FnOnce() -> Result<FoundingAnswer, BelongingError> + Send + 'static,
) -> Result<FoundingAnswer, Status> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))?;
    done.map_err(|error| Status::unavailable(error.to_string()))
}
