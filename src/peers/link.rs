//! One address: who is there, whether it is alive, and the session with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::copies::Copied;
use super::session::Session;
use super::{GREET_EVERY, Peers, Speaker};
use crate::clock;
use crate::engine::grant::{ClusterId, Incarnation};
use crate::engine::membership::Role;
use crate::engine::time::Timestamp;
use crate::wire::peer;
use crate::wire::standing::{self, Standing};
use crate::wire::v1;
use crate::wire::v1::peer_service_client::PeerServiceClient;

/// How long a greeting is waited for.
const GREETED_WITHIN: Duration = Duration::from_millis(300);

/// How long a connection may take to be made.
const CONNECTS_WITHIN: Duration = Duration::from_millis(300);

/// How long the other node may take to begin a session.
const BEGINS_WITHIN: Duration = Duration::from_secs(1);

/// How soon a session is begun again that was lost.
const SESSION_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// HTTP/2's own sign of life, for a connection that was cut one way.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);

/// The largest message, either way: one entry of the log with all that may be gathered for it.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How many frames may be on their way into a stream.
const FRAMES_UNDER_WAY: usize = 16;

/// Who has answered, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) by: Incarnation,
    /// The cluster that it is of, if it is of one for good.
    pub(super) cluster: Option<ClusterId>,
    pub(super) standing: Standing,
    pub(super) at: Timestamp,
}

/// One address.
#[derive(Debug)]
pub(super) struct Link {
    address: String,
    /// `None` for an address that can't be one: the trouble says so.
    channel: Option<Channel>,
    heard: Mutex<Option<Heard>>,
    trouble: Mutex<Option<String>>,
    /// A process that answers here under the id of a node that is elsewhere.
    copy: Mutex<Option<Incarnation>>,
    session: Mutex<Option<Arc<Session>>>,
}

impl Link {
    pub(super) fn new(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map(|endpoint| {
            let endpoint = endpoint.connect_timeout(CONNECTS_WITHIN).tcp_nodelay(true);
            let endpoint = endpoint.http2_keep_alive_interval(KEEPALIVE_EVERY).keep_alive_timeout(KEEPALIVE_EVERY);
            endpoint.keep_alive_while_idle(true).connect_lazy()
        });
        let (channel, trouble) = match endpoint {
            Ok(channel) => (Some(channel), None),
            Err(error) => (None, Some(format!("{address} is no address: {error}"))),
        };
        Self {
            address: address.to_owned(),
            channel,
            heard: Mutex::default(),
            trouble: Mutex::new(trouble),
            copy: Mutex::default(),
            session: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn heard(&self) -> Option<Heard> {
        self.heard.lock().clone()
    }

    /// Notes who has answered, and returns who has before.
    pub(super) fn hear(&self, heard: Heard) -> Option<Heard> {
        self.heard.lock().replace(heard)
    }

    pub(super) fn copy(&self) -> Option<Incarnation> {
        *self.copy.lock()
    }

    pub(super) fn refuse_copy(&self, copy: Option<Incarnation>) {
        *self.copy.lock() = copy;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Notes what is wrong there, if anything is; whether that is news.
    pub(super) fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut current = self.trouble.lock();
        let is_news = trouble.is_some() && *current != trouble;
        *current = trouble;
        is_news
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().clone()
    }

    pub(super) fn end_session(&self) {
        if let Some(session) = self.session.lock().take() {
            session.end();
        }
    }

    pub(super) fn client(&self) -> PeerServiceClient<Channel> {
        #[expect(clippy::expect_used, reason = "who calls has heard of somebody, and nobody answers where nobody can be called")]
        let channel = self.channel.clone().expect("an address that has answered is one");
        let client = PeerServiceClient::new(channel);
        client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

/// Greets an address and keeps a session with who is there, until it is dropped, or this node itself is found there.
pub(super) async fn keep(peers: &Peers, link: &Arc<Link>) {
    if link.channel.is_none() {
        return;
    }
    tracing::debug!(address = %link.address, "looking for a peer");
    tokio::select! {
        () = greet(peers, link) => {}
        () = route(peers, link) => {}
    }
    link.end_session();
}

async fn greet(peers: &Peers, link: &Link) {
    loop {
        let request = v1::GreetRequest {
            sender: Some(peers.sender_to(0)),
            standing: Some(standing::from_standing(&peers.standing())),
            listens_at: peers.shared.listens_at.clone(),
        };
        let greeted = clock::timeout(GREETED_WITHIN, link.client().greet(request)).await;
        let mut is_copy = false;
        let trouble = match greeted {
            Ok(Ok(response)) => match note(peers, link, response.into_inner()) {
                // This node's own address, from a list that all nodes share.
                Ok(by) if by.node == peers.node() => return,
                Ok(_) => None,
                Err(trouble) => {
                    is_copy = matches!(trouble, Trouble::Copied(_));
                    Some(trouble.to_string())
                }
            },
            Ok(Err(status)) => Some(status.message().to_owned()),
            Err(timed_out) => Some(timed_out.to_string()),
        };
        let is_news = link.set_trouble(trouble.clone());
        if let Some(trouble) = trouble.filter(|_| is_news) {
            if is_copy {
                tracing::error!(address = %link.address, %trouble, "a node's id is used twice");
            } else {
                tracing::warn!(address = %link.address, %trouble, "a peer does not answer as one");
            }
        }
        let greeted_at = peers.shared.clock.now();
        // Either may become a replica meanwhile, and be missed soon.
        while peers.shared.clock.now().saturating_since(greeted_at) < peers.greets_every(link) {
            clock::sleep(GREET_EVERY).await;
        }
    }
}

/// Why who has answered does not count.
#[derive(Debug, Error)]
enum Trouble {
    #[error("{}", .0.message())]
    Refused(#[from] Status),
    #[error(transparent)]
    Copied(#[from] Copied),
}

/// Notes who has answered a greeting.
fn note(peers: &Peers, link: &Link, response: v1::GreetResponse) -> Result<Incarnation, Trouble> {
    let v1::GreetResponse { sender, standing, addresses } = response;
    let speaker = peers.identify(sender.as_ref())?;
    let standing = standing::standing(standing);
    peers.learn_from(&speaker, &standing);
    let Speaker { by, cluster, is_bound } = speaker;
    let heard = Heard { by, cluster: is_bound.then_some(cluster), standing, at: peers.shared.clock.now() };
    let former = peers.note(link, heard)?;
    peers.hint(addresses);
    if former.is_none_or(|former| former.by.node != by.node) {
        tracing::info!(address = %link.address, node = %by.node, "a node is there");
    }
    Ok(by)
}

/// Keeps one session with whoever is at this address.
async fn route(peers: &Peers, link: &Arc<Link>) {
    loop {
        let heard = link.heard();
        let both_bound = peers.shared.belonging.is_bound() && heard.as_ref().is_some_and(|heard| heard.cluster.is_some());
        // One node may be known by two names. Only replicas own anything.
        let is_wanted =
            |node| peers.session_with(node).is_none() && peers.role_of(node) != Role::Observer && !peers.is_refused(node);
        if let Some(heard) = heard.filter(|heard| both_bound && heard.by.node != peers.node() && is_wanted(heard.by.node)) {
            let session = Arc::new(Session::new(heard.by.node, peers.shared.clock));
            if let Err(status) = hold(peers, link, &session).await {
                tracing::debug!(node = %heard.by.node, %status, "a session was lost");
            }
            session.end();
            link.end_session();
            peers.shared.sessions_changed.send_replace(());
        }
        clock::sleep(SESSION_AGAIN_AFTER).await;
    }
}

/// Holds a session until either side, or the way between, ends it.
async fn hold(peers: &Peers, link: &Link, session: &Arc<Session>) -> Result<(), Status> {
    let node = session.node();
    let (frames, outbound) = mpsc::channel(FRAMES_UNDER_WAY);
    let frame = |messages| v1::RouteRequest {
        sender: Some(peers.sender(node)),
        stamp_nanos: peer::stamp(session.clock().now()),
        messages,
    };
    // The first frame says who we are.
    drop(frames.send(frame(Vec::new())).await);
    let begun = clock::timeout(BEGINS_WITHIN, link.client().route(ReceiverStream::new(outbound))).await;
    let mut answers = begun.map_err(|late| Status::deadline_exceeded(late.to_string()))??.into_inner();
    link.session.lock().replace(Arc::clone(session));
    peers.shared.sessions_changed.send_replace(());
    let sending = async {
        loop {
            let messages = session.next_messages().await;
            if frames.send(frame(messages)).await.is_err() {
                return;
            }
        }
    };
    let receiving = async {
        while let Some(frame) = answers.message().await? {
            peers.check_member(frame.sender.as_ref())?;
            for v1::OwnerMessage { number, message } in frame.messages {
                if let Some(message) = message {
                    session.answered(number, message);
                }
            }
        }
        Ok(())
    };
    tokio::select! {
        () = sending => Ok(()),
        ended = receiving => ended,
        () = session.ended() => Ok(()),
    }
}
