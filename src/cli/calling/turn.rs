//! One turn: an acquire at one node after the other, under one id.
//!
//! Promises: a node that is gone costs the request its way, not its place, for it goes on with its id and its age; one round of nodes that can't serve ends it.
//! Must not: print.

use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cli::ask::{self, ANSWERS_WITHIN, AskError, may_be_another, reach_and_listen, told};
use crate::cli::time::{Stopwatch, timeout};
use crate::engine::grant::RequestId;
use crate::wire::fields::{request_id_bytes, required_span, to_span};
use crate::wire::v1;
use crate::wire::v1::throttle_service_client::ThrottleServiceClient;

/// How much longer than its time a request is waited for, for the answer's way.
const GRACE: Duration = Duration::from_secs(2);

/// What makes a retry the same request.
#[derive(Debug, Clone, Copy)]
pub(super) enum TurnId {
    /// The caller has said it: it means this one request and no other.
    Said(RequestId),
    /// It is random.
    Drawn(RequestId),
}

impl TurnId {
    /// A random one.
    pub(super) fn draw() -> Self {
        Self::Drawn(RequestId::new(rand::random()))
    }

    const fn id(self) -> RequestId {
        match self {
            Self::Said(id) | Self::Drawn(id) => id,
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Turn {
    /// Where, in order.
    pub(super) addresses: Vec<String>,
    /// What, but for the times, and the id.
    pub(super) ask: v1::Acquire,
    pub(super) id: TurnId,
    /// How long until that is an error.
    pub(super) timeout: Option<Duration>,
    /// How long it is willing to wait.
    pub(super) max_wait: Option<Duration>,
}

/// How a turn ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// There is a slot.
    Granted(Box<v1::Grant>),
    /// There is none now, or within the longest wait; not before so long from now.
    NotNow(Duration),
}

/// Why a node did not serve.
enum Trouble {
    /// It can't be reached; for people, with the address.
    Unreached(String),
    /// It is gone, with the request in its queue, or can't serve.
    Gone(String),
    /// None will.
    Over(AskError),
    /// It was granted through a node that was gone before it said so.
    Lost(AskError),
}

impl Turn {
    /// Takes a slot if there is one now.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) async fn try_now(&self) -> Result<Ended, AskError> {
        let acquire = v1::Acquire { request_id: request_id_bytes(self.id.id()), ..self.ask.clone() };
        let request = v1::TryAcquireRequest { acquire: Some(acquire) };
        let tried = ask::ask_first(&self.addresses, request, async |channel, request| {
            ThrottleServiceClient::new(channel).try_acquire(request).await
        });
        let v1::TryAcquireResponse { grant, retry_after, .. } = tried.await?;
        ended(grant, retry_after)
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) async fn wait(&mut self) -> Result<Ended, AskError> {
        let began = Stopwatch::start();
        let mut waited = Duration::ZERO;
        let mut reasons: Vec<String> = Vec::new();
        for address in self.addresses.clone().iter().cycle() {
            let before = began.elapsed();
            let trouble = match self.wait_at(address, before, waited).await {
                Ok(ended) => return Ok(ended),
                Err(trouble) => trouble,
            };
            let lasted = began.elapsed().saturating_sub(before);
            match trouble {
                Trouble::Over(error) => return Err(error),
                Trouble::Lost(error) if matches!(self.id, TurnId::Said(_)) || waited.is_zero() => return Err(error),
                // Its slot is lost; it is another request from now on.
                Trouble::Lost(_) => self.id = TurnId::draw(),
                Trouble::Unreached(reason) => reasons.push(reason),
                Trouble::Gone(reason) => {
                    if lasted > ANSWERS_WITHIN {
                        // It has waited there: the nodes before may be back.
                        reasons.clear();
                    }
                    reasons.push(reason);
                    waited = began.elapsed();
                }
            }
            if reasons.len() >= self.addresses.len() {
                break;
            }
        }
        Err(AskError::Nobody { reasons: reasons.join("; ") })
    }

    /// Waits at one node; `elapsed` of its time has gone by, in which it may have waited elsewhere.
    async fn wait_at(&self, address: &str, elapsed: Duration, waited: Duration) -> Result<Ended, Trouble> {
        let left = |span: Duration| span.saturating_sub(elapsed);
        let late =
            || Trouble::Over(ask::refused(address, &Status::deadline_exceeded("its time was over before a node could serve it")));
        let timeout_left = self.timeout.map(left);
        if timeout_left.is_some_and(|left| left.is_zero()) {
            return Err(late());
        }
        let acquire = v1::Acquire {
            request_id: request_id_bytes(self.id.id()),
            timeout: timeout_left.map(to_span),
            max_wait: self.max_wait.map(left).map(to_span),
            waited: (!waited.is_zero()).then(|| to_span(waited)),
            ..self.ask.clone()
        };
        let named = |reason: String| format!("{address}: {reason}");
        let channel = timeout(ANSWERS_WITHIN, reach_and_listen(address)).await;
        let channel = channel.unwrap_or_else(|late| Err(late.to_string()));
        let channel = channel.map_err(|reason| Trouble::Unreached(named(reason)))?;
        let asked = acquire_at(channel, acquire);
        let answer = match timeout_left {
            None => asked.await,
            Some(left) => timeout(left + GRACE, asked).await.map_err(|_| late())?,
        };
        match answer {
            Ok(v1::AcquireResponse { grant, retry_after, .. }) => ended(grant, retry_after).map_err(Trouble::Over),
            Err(status) if may_be_another(&status) => Err(Trouble::Gone(named(told(&status)))),
            Err(status) if status.code() == Code::AlreadyExists => Err(Trouble::Lost(ask::refused(address, &status))),
            Err(status) => Err(Trouble::Over(ask::refused(address, &status))),
        }
    }
}

async fn acquire_at(channel: Channel, acquire: v1::Acquire) -> Result<v1::AcquireResponse, Status> {
    let request = v1::AcquireRequest { acquire: Some(acquire) };
    ThrottleServiceClient::new(channel).acquire(request).await.map(tonic::Response::into_inner)
}

fn ended(grant: Option<v1::Grant>, retry_after: Option<prost_types::Duration>) -> Result<Ended, AskError> {
    match grant {
        Some(grant) => Ok(Ended::Granted(Box::new(grant))),
        None => Ok(Ended::NotNow(required_span("retry_after", retry_after)?)),
    }
}
