//! What other nodes ask of this one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::follow::SAY_EVERY;
use super::formation;
use super::local::Local;
use super::router_clock::RouterClock;
use super::serving::Serving;
use super::{Peers, Speaker};
use crate::clock;
use crate::consensus::submitter::Submitter;
use crate::consensus::{BelongingError, Consensus};
use crate::engine::grant::NodeId;
use crate::owner::Question;
use crate::port::CalledFrom;
use crate::wire::v1::peer_service_server::PeerService;
use crate::wire::{codec, standing, v1};

/// How many frames may be on their way to a router that is slow to read.
const FRAMES_UNDER_WAY: usize = 16;

/// How long a session waits for the one before it to end.
const FORMER_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// What a node serves its peers with. Its parts come one after the other while it starts; their sender is gone when the node has ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Services {
    /// From the moment when its log is open.
    pub consensus: Option<(Arc<Consensus>, Submitter)>,
    /// From the moment when its owners run.
    pub local: Option<Local>,
}

/// The service of one node.
#[derive(Debug)]
pub(crate) struct Server {
    peers: Peers,
    services: watch::Receiver<Services>,
    /// By router: dropping the other end ends its session.
    sessions: Arc<Mutex<HashMap<NodeId, watch::Sender<()>>>>,
}

impl Server {
    /// A service with these parts.
    pub(crate) fn new(peers: Peers, services: watch::Receiver<Services>) -> Self {
        Self { peers, services, sessions: Arc::default() }
    }

    /// Returns when the node has ended. Cancel-safe.
    pub(super) fn node_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut services = self.services.clone();
        async move { while services.changed().await.is_ok() {} }
    }

    fn consensus(&self) -> Result<(Arc<Consensus>, Submitter), Status> {
        self.services.borrow().consensus.clone().ok_or_else(|| Status::unavailable("the node is starting"))
    }

    /// A node that is of no cluster yet is called in by the first message of one.
    async fn bind(&self, speaker: Speaker) -> Result<(), Status> {
        if !speaker.is_bound {
            return Err(Status::failed_precondition(format!("node {} is of no cluster yet", speaker.by.node)));
        }
        let belonging = Arc::clone(&self.peers.shared.belonging);
        if belonging.is_bound() {
            // It may have been called in since this message was checked, by another cluster.
            let own = belonging.cluster();
            let other = || Status::failed_precondition(format!("this node belongs to cluster {own}, not to {}", speaker.cluster));
            return if own == speaker.cluster { Ok(()) } else { Err(other()) };
        }
        let bound = tokio::task::spawn_blocking(move || belonging.bind(speaker.cluster)).await;
        bound.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| match error {
            BelongingError::OtherCluster { .. } => Status::failed_precondition(error.to_string()),
            BelongingError::Storage(_) | BelongingError::Stopped => Status::unavailable(error.to_string()),
        })?;
        tracing::info!(cluster = %speaker.cluster, by = %speaker.by.node, "called into a cluster");
        Ok(())
    }
}

#[tonic::async_trait]
impl PeerService for Server {
    async fn greet(&self, request: Request<v1::GreetRequest>) -> Result<Response<v1::GreetResponse>, Status> {
        let from = request.extensions().get::<CalledFrom>().map(|from| from.0);
        let request = request.into_inner();
        // A greeting from this node itself finds out its own address.
        let speaker = self.peers.check(request.sender.as_ref())?;
        self.peers.learn_from(&speaker, &standing::standing(request.standing));
        self.peers.hint_of(&request.listens_at, from);
        let standing = Some(standing::from_standing(&self.peers.standing()));
        let (sender, addresses) = (Some(self.peers.sender(speaker.by.node)), self.peers.known_addresses());
        Ok(Response::new(v1::GreetResponse { sender, standing, addresses }))
    }

    type FollowStream = ReceiverStream<Result<v1::FollowResponse, Status>>;

    async fn follow(&self, request: Request<v1::FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let follower = self.peers.check_member(request.into_inner().sender.as_ref())?.by.node;
        let (consensus, _) = self.consensus()?;
        let (peers, mut rings) = (self.peers.clone(), consensus.ledger().ring());
        let (frames, outbound) = mpsc::channel(FRAMES_UNDER_WAY);
        tokio::spawn(async move {
            rings.mark_changed();
            // One that is cut off tells nobody that its ring is the newest.
            while peers.standing().serves {
                let changed = clock::timeout(SAY_EVERY, rings.changed()).await;
                let ring = match changed {
                    Ok(Ok(())) => Some(standing::from_ring(&rings.borrow_and_update())),
                    Ok(Err(_)) => return,
                    Err(_) => None,
                };
                let frame = v1::FollowResponse { sender: Some(peers.sender(follower)), ring };
                if frames.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn call(&self, request: Request<v1::CallRequest>) -> Result<Response<v1::CallResponse>, Status> {
        let request = request.into_inner();
        let (consensus, submitter) = self.consensus()?;
        let body = match request.kind() {
            v1::CallKind::Raft => {
                let speaker = self.peers.check(request.sender.as_ref())?;
                self.bind(speaker).await?;
                consensus.answer(&request.body).await
            }
            v1::CallKind::Commit => {
                self.peers.check_member(request.sender.as_ref())?;
                submitter.answer(&request.body).await
            }
            v1::CallKind::Found => {
                self.peers.check(request.sender.as_ref())?;
                Ok(formation::answer(&consensus, &request.body).await?)
            }
            v1::CallKind::Stand => {
                self.peers.check_member(request.sender.as_ref())?;
                consensus.stand().await;
                Ok(Vec::new())
            }
            v1::CallKind::Ask => {
                self.peers.check_member(request.sender.as_ref())?;
                let local = self.services.borrow().local.clone().ok_or_else(|| Status::unavailable("the node is starting"))?;
                match codec::decode::<Question>(&request.body) {
                    Ok(question) => codec::encode(&local.informant.tell(question).await),
                    Err(error) => Err(error),
                }
            }
            v1::CallKind::Unspecified => return Err(Status::invalid_argument("kind: is not set: it is required")),
        };
        let body = body.map_err(|error| Status::invalid_argument(format!("body: {error}")))?;
        Ok(Response::new(v1::CallResponse { body }))
    }

    type RouteStream = ReceiverStream<Result<v1::RouteResponse, Status>>;

    async fn route(&self, request: Request<Streaming<v1::RouteRequest>>) -> Result<Response<Self::RouteStream>, Status> {
        let mut frames = request.into_inner();
        let first = frames.message().await?.ok_or_else(|| Status::invalid_argument("a session begins with a frame"))?;
        let router = self.peers.check_member(first.sender.as_ref())?.by.node;
        let local = self.services.borrow().local.clone().ok_or_else(|| Status::unavailable("the node is starting"))?;
        let router_clock = RouterClock::new(local.clock.now(), first.stamp_nanos);
        let (answers, outbound) = mpsc::channel(FRAMES_UNDER_WAY);
        let (ended, end) = watch::channel(());
        let former = self.sessions.lock().insert(router, ended.clone());
        let sessions = Arc::clone(&self.sessions);
        tokio::spawn(async move {
            if let Some(former) = former {
                // Its waiters leave before those of this one come, who may be the same.
                former.send_replace(());
                if let Err(error) = clock::timeout(FORMER_ENDS_WITHIN, former.closed()).await {
                    // Its router hears of the end of this one, and begins another.
                    tracing::warn!(%router, %error, "a session's former one did not end");
                    return;
                }
            }
            let mut end = end;
            {
                let (mut serving, outcomes) = Serving::new(&local, router, router_clock);
                tokio::select! {
                    () = serving.run(frames, outcomes, answers) => {}
                    _ = end.changed() => {}
                }
            }
            drop(end);
            let mut sessions = sessions.lock();
            if sessions.get(&router).is_some_and(|current| current.same_channel(&ended)) {
                sessions.remove(&router);
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}
