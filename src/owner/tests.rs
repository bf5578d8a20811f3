//! Owners that crash, are late, or are left: what only this crate can bring about.

mod chaos;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::{Message, Outcome, Owners, Reply};
use crate::clock::{self, Clock};
use crate::config::NodeConfig;
use crate::consensus::proposer::{Ownership, Proposer, ProposerEnd};
use crate::consensus::{self, Consensus};
use crate::engine::cost::Cost;
use crate::engine::grant::{Grant, Incarnation, RequestId};
use crate::engine::key::ConnectionKey;
use crate::engine::rate::{Limits, Niceness, RateLimit};
use crate::engine::throttle::{Acquire, Patience, Refusal};
use crate::engine::time::Timestamp;
use crate::router::{Request, RouteError, Router};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The parts of a node of one shard, each within reach.
struct Parts {
    router: Arc<Router>,
    owners: Owners,
    consensus: Consensus,
    clock: Clock,
    tasks: JoinSet<()>,
    /// The proposer's work, until it is to answer.
    proposals: Option<Pin<Box<dyn Future<Output = ProposerEnd> + Send>>>,
    _stopped: watch::Sender<Option<Arc<str>>>,
}

/// Nothing is proposed before [`Parts::answer`].
async fn start(mut config: NodeConfig) -> Parts {
    config.shards = std::num::NonZeroU16::MIN;
    let clock = Clock::start();
    let opened = consensus::open(&config.storage, None, clock).await.unwrap();
    let consensus = Consensus::start(opened, Arc::new(consensus::transport::Alone), clock).await.unwrap();
    consensus.found_alone().await.unwrap();
    let incarnation = Incarnation { node: consensus.node(), run: std::num::NonZeroU64::MIN };
    let (submitter, commits) = consensus.submitter();
    let mut tasks = JoinSet::new();
    tasks.spawn(commits);
    consensus::join(&submitter, incarnation, config.shards).await.unwrap();
    let ledger = consensus.ledger().clone();
    // It is a member already: the proposer finds that it is.
    let ownership = Ownership { may_own: watch::channel(true).1, cold_start_hold: Duration::ZERO };
    let (proposer, proposals) = Proposer::new(incarnation, config.shards, submitter, ledger.clone(), ownership, clock);
    let (ring, max_in_flight) = (ledger.ring(), config.max_in_flight);
    let owners = Owners::start(consensus.node(), config, clock, proposer.clone(), ledger).await.unwrap();
    let stopped = watch::Sender::new(None);
    let router =
        Router::new(owners.handle(), ring, crate::peers::Sessions::none(), proposer, stopped.subscribe(), clock, max_in_flight);
    let proposals: Pin<Box<dyn Future<Output = ProposerEnd> + Send>> = Box::pin(proposals);
    Parts { router: Arc::new(router), owners, consensus, clock, tasks, proposals: Some(proposals), _stopped: stopped }
}

async fn start_answering() -> Parts {
    let mut parts = start(NodeConfig::in_memory()).await;
    parts.answer();
    parts
}

impl Parts {
    fn answer(&mut self) {
        let proposals = self.proposals.take().unwrap();
        self.tasks.spawn(async { drop(proposals.await) });
    }

    fn shard(&self) -> ActorRef<Message> {
        self.owners.shards.borrow()[0].clone()
    }

    async fn until_waiting(&self, count: usize) {
        soon(async {
            while self.router.owners().report().await.waiters != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn end(mut self) {
        self.owners.stop().await;
        self.consensus.shutdown().await;
        self.tasks.shutdown().await;
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    clock::timeout(Duration::from_secs(20), future).await.unwrap()
}

fn limits(count: u32, window: Duration) -> Limits {
    let limit = RateLimit::new(count, window).unwrap().with_delivery_bound(Duration::ZERO).unwrap();
    Limits::new([limit.with_guard(Duration::ZERO).unwrap()]).unwrap()
}

fn request(id: u128, limits: Limits) -> Request {
    Request {
        key: ConnectionKey::new("test", "owner").unwrap(),
        id: RequestId::new(id),
        retryable: false,
        niceness: Niceness::new(0),
        cost: Cost::ONE,
        limits,
        patience: Patience::Endless,
        waited: Duration::ZERO,
    }
}

/// Puts an acquire into the shard's mailbox as the router does.
fn send(shard: &ActorRef<Message>, request: &Request) -> oneshot::Receiver<Outcome> {
    let (reply, answer) = Reply::channel();
    let Request { key, id, retryable, niceness, cost, limits, patience, .. } = request.clone();
    let acquire = Acquire { request: id, retryable, niceness, cost, limits, waited: Duration::ZERO, patience, reply };
    shard.cast(Message::Acquire(key, acquire, Timestamp::from_nanos(u64::MAX))).unwrap();
    answer
}

fn granted(outcome: Outcome) -> Grant {
    let Outcome::Granted(offer) = outcome else { unreachable!("{outcome:?}") };
    *offer.take().unwrap().grant()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shard_killed_while_fifty_wait_answers_each_once_in_order_and_breaks_no_window() {
    const LIMIT: usize = 10;
    let window = Duration::from_millis(300);
    let parts = start_answering().await;
    let limits = limits(10, window);
    let (mut grants, mut waiting) = (Vec::new(), JoinSet::new());
    for id in 0..10 {
        grants.push(*soon(parts.router.acquire(&request(id, limits.clone()))).await.unwrap().slot.grant());
    }
    let last_before = grants[LIMIT - 1].release.get();
    for id in 10..60 {
        let (router, request) = (Arc::clone(&parts.router), request(id, limits.clone()));
        waiting.spawn(async move { (id, router.acquire(&request).await.map(|routed| *routed.slot.grant())) });
        parts.until_waiting(waiting.len()).await;
    }
    parts.shard().kill();
    let mut answers = soon(waiting.join_all()).await;
    answers.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(answers.len(), 50);
    let after: Vec<Grant> = answers.into_iter().map(|(_, answer)| answer.unwrap()).collect();
    assert!(after.is_sorted_by_key(|grant| grant.release), "those who had waited longest were first");
    // The first fifty numbers after those were drawn by the shard that died, for arrivals.
    assert!(after.iter().all(|grant| grant.arrival.get() > last_before + 50), "a number was drawn twice");
    grants.extend(after);
    for (first, last) in grants.iter().zip(&grants[LIMIT..]) {
        let span = last.charge.stamp.saturating_since(first.charge.stamp);
        assert!(span >= window, "{} grants within {span:?}", LIMIT + 1);
    }
    parts.end().await;
}

/// A waker that panics where it is woken: in the shard, in the middle of a message.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("the test's own panic");
    }
}

#[tokio::test]
async fn a_shard_that_panics_between_two_releases_leaves_no_number_to_be_drawn_again() {
    let parts = start_answering().await;
    let limits = limits(2, Duration::from_millis(200));
    let both = Request { cost: Cost::of(2), ..request(0, limits.clone()) };
    granted(soon(send(&parts.shard(), &both)).await.unwrap());
    let (one, mut two) = (send(&parts.shard(), &request(1, limits.clone())), send(&parts.shard(), &request(2, limits.clone())));
    parts.until_waiting(2).await;
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(std::pin::pin!(&mut two).poll(&mut Context::from_waker(&bomb)).is_pending());
    let one = granted(soon(one).await.unwrap());
    let two = granted(soon(two).await.unwrap());
    let three = *soon(parts.router.acquire(&request(3, limits))).await.unwrap().slot.grant();
    assert!(one.release < two.release, "{one:?} {two:?}");
    assert!(three.arrival.get() > two.release.get(), "{two:?} {three:?}");
    assert!(three.charge.stamp.saturating_since(one.charge.stamp) >= Duration::from_millis(200), "{three:?}");
    parts.end().await;
}

#[tokio::test]
async fn a_shard_that_crashes_with_a_proposal_in_flight_wastes_that_slot_and_no_other() {
    let mut parts = start(NodeConfig::in_memory()).await;
    let limits = limits(3, HOUR);
    let (router, own) = (Arc::clone(&parts.router), request(1, limits.clone()));
    let waiting = tokio::spawn(async move { router.acquire(&own).await.map(|routed| routed.slot) });
    parts.until_waiting(1).await;
    let gone = parts.shard();
    gone.kill();
    soon(parts.owners.shards.wait_for(|shards| shards[0].get_id() != gone.get_id())).await.unwrap();
    parts.until_waiting(1).await;
    parts.answer();
    soon(waiting).await.unwrap().unwrap();
    let tries = [2, 3].map(|id| Request { patience: Patience::Never, ..request(id, limits.clone()) });
    soon(parts.router.acquire(&tries[0])).await.unwrap();
    let refused = soon(parts.router.acquire(&tries[1])).await.map(|routed| routed.slot);
    assert!(matches!(refused, Err(RouteError::Refused(Refusal::NotNow { .. }))), "{refused:?}");
    parts.end().await;
}

#[tokio::test]
async fn however_often_a_shard_is_woken_it_keeps_one_timer() {
    let parts = start_answering().await;
    let limits = limits(1, HOUR);
    granted(soon(send(&parts.shard(), &request(0, limits.clone()))).await.unwrap());
    let _waiting = send(&parts.shard(), &request(1, limits));
    parts.until_waiting(1).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..1000 {
        parts.shard().cast(Message::Wake).unwrap();
    }
    parts.until_waiting(1).await;
    // An aborted task ends when it is its turn.
    soon(async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    parts.end().await;
}

#[tokio::test]
async fn the_connections_of_a_shard_that_crashed_count_no_longer() {
    let mut config = NodeConfig::in_memory();
    config.max_connections = 5;
    let mut parts = start(config).await;
    parts.answer();
    let tries: Vec<Request> = (0..6)
        .map(|id| {
            let key = ConnectionKey::new("test", &format!("connection {id}")).unwrap();
            Request { key, patience: Patience::Never, ..request(id, limits(1, HOUR)) }
        })
        .collect();
    for tried in &tries[..5] {
        granted(soon(send(&parts.shard(), tried)).await.unwrap());
    }
    let gone = parts.shard();
    gone.kill();
    soon(parts.owners.shards.wait_for(|shards| shards[0].get_id() != gone.get_id())).await.unwrap();
    for tried in &tries[..5] {
        let outcome = soon(send(&parts.shard(), tried)).await.unwrap();
        assert!(matches!(outcome, Outcome::Refused(Refusal::NotNow { .. })), "{outcome:?}");
    }
    let sixth = soon(send(&parts.shard(), &tries[5])).await.unwrap();
    assert!(matches!(sixth, Outcome::TooManyConnections { max_connections: 5 }), "{sixth:?}");
    parts.end().await;
}

#[tokio::test]
async fn while_consensus_is_silent_every_patience_ends_in_its_own_way() {
    let parts = start(NodeConfig::in_memory()).await;
    let soon_over = parts.clock.now() + Duration::from_millis(100);
    let limits = limits(3, HOUR);
    let ends = |id, patience| {
        let (router, request) = (Arc::clone(&parts.router), Request { patience, ..request(id, limits.clone()) });
        async move { router.acquire(&request).await.map(|routed| routed.slot).unwrap_err() }
    };
    let (deadline, max_wait, tried) = soon(async {
        tokio::join!(ends(1, Patience::Deadline(soon_over)), ends(2, Patience::MaxWait(soon_over)), ends(3, Patience::Never))
    })
    .await;
    assert!(matches!(deadline, RouteError::Refused(Refusal::Deadline { .. })), "{deadline:?}");
    assert!(matches!(max_wait, RouteError::Refused(Refusal::NotNow { retry_after }) if retry_after < SECOND), "{max_wait:?}");
    assert!(matches!(tried, RouteError::OutOfReach { waited } if waited >= SECOND), "{tried:?}");
    parts.until_waiting(0).await;
    parts.end().await;
}

#[tokio::test]
async fn a_grant_that_its_caller_reads_too_late_is_not_started_and_costs_one_slot_in_the_end() {
    let parts = start_answering().await;
    let bound = Duration::from_millis(20);
    let limit = RateLimit::new(2, HOUR).unwrap().with_delivery_bound(bound).unwrap().with_guard(Duration::ZERO).unwrap();
    let limits = Limits::new([limit]).unwrap();
    let stalled = request(1, limits.clone());
    let router = Arc::clone(&parts.router);
    let mut call = std::pin::pin!(router.acquire(&stalled));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // Released, and then not read for longer than it may be old.
    parts.until_waiting(0).await;
    let read_at = parts.clock.now() + 2 * bound;
    parts.clock.sleep_until(read_at).await;
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "a stale grant was handed out");
    let grant = *soon(call).await.unwrap().slot.grant();
    assert!(grant.proposed_at >= read_at, "{grant:?}");
    assert_eq!(grant.arrival.get(), 1, "at its old place");
    let tries = [2, 3].map(|id| Request { patience: Patience::Never, ..request(id, limits.clone()) });
    soon(parts.router.acquire(&tries[0])).await.unwrap();
    let refused = soon(parts.router.acquire(&tries[1])).await.map(|routed| routed.slot);
    assert!(matches!(refused, Err(RouteError::Refused(Refusal::NotNow { .. }))), "{refused:?}");
    parts.end().await;
}
