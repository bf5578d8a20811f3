//! A session: many acquires over one stream.
//!
//! ```text
//! client ── acquire(id), try_acquire(id) ─► waiting ─► granted(id), age, stamp ─► held ── done(id) ──────► nothing is said
//!                                          │                                        ├─── give_back(id) ─► ended(id)
//!                                          │                                        └─── reconcile(id) ─► reconciled(id)
//!                                          └─ cancel(id) ─► left the queue: ended(id)
//! ```
//!
//! Promises: one answer for each acquire, under its id; a message that is refused is answered under its id, and the stream lives on; a stream
//! that is dropped takes its waiters out of the queue.
//! Must not: spawn. Everything is polled by the one who writes the stream, so what the client doesn't read stops what the server reads, and nothing grows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use foldhash::fast::RandomState;
use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::task::coop;
use tonic::{Status, Streaming};

use super::grant;
use super::status::of_acquire;
use super::unreadable::reworded;
use crate::api::answer::{Answer, Mode, answer};
use crate::api::problem::Problem;
use crate::api::{stopping, told};
use crate::client::{AcquireError, Permit, ReconcileError, Reconciled, Throttler};
use crate::engine::grant::RequestId;
use crate::telemetry::{self, OneMore};
use crate::wire::fields::{self, BadField};
use crate::wire::throttle::ParsedAcquire;
use crate::wire::v1::session_request::Message;
use crate::wire::v1::session_response::Message as Said;
use crate::wire::{throttle as wire, v1};

/// What is under way for a request, and its end.
type Waiting = BoxFuture<'static, (RequestId, End)>;

/// How something ended that was under way.
enum End {
    /// An acquire; aborted when it was cancelled.
    Acquire(Result<Result<Answer, AcquireError>, Aborted>),
    /// What a call has taken was said.
    Reconcile(Result<Result<Reconciled, ReconcileError>, Problem>),
}

/// Where a request of the session stands.
#[derive(Debug)]
enum Open {
    /// In the queue.
    Waiting { mode: Mode, leave: AbortHandle },
    /// Granted, until the client says that it is over.
    Held(Box<Permit>),
}

/// One session, from its first message to its last answer: the stream of its answers.
pub(super) struct Session {
    throttler: Throttler,
    incoming: Streaming<v1::SessionRequest>,
    /// Ends when the server is to stop.
    stopping: BoxFuture<'static, ()>,
    max_requests: usize,
    /// Hashed fast: a client that makes its ids collide slows down nobody else.
    open: HashMap<RequestId, Open, RandomState>,
    waiting: FuturesUnordered<Waiting>,
    /// The client's newest stamp.
    stamp_nanos: Option<u64>,
    /// The client says no more.
    is_half_closed: bool,
    /// Its last answer was an error.
    has_failed: bool,
    _counted: OneMore,
}

impl Session {
    /// A session of at most `max_requests` requests at once, waiting or held.
    pub(super) fn new(
        throttler: Throttler,
        incoming: Streaming<v1::SessionRequest>,
        mut draining: watch::Receiver<bool>,
        max_requests: usize,
    ) -> Self {
        let (open, waiting) = (HashMap::default(), FuturesUnordered::new());
        let stopping = async move { stopping(&mut draining).await }.boxed();
        Self {
            throttler,
            incoming,
            stopping,
            max_requests,
            open,
            waiting,
            stamp_nanos: None,
            is_half_closed: false,
            has_failed: false,
            _counted: OneMore::of(&telemetry::SESSIONS),
        }
    }

    /// What comes next: an end that is to be told, or a message to be taken. `None` for what needs no answer.
    ///
    /// Ends go first: what a client has asked for is told before more is read, and there are never more of them than it has asked for.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<v1::SessionResponse, Status>>> {
        // A client that goes on and on leaves others their turn.
        let budget = ready!(coop::poll_proceed(context));
        // Without any it is at its end, and polled no more until there is one.
        if let Poll::Ready(Some((id, ended))) = self.waiting.poll_next_unpin(context) {
            budget.made_progress();
            return Poll::Ready(self.settle(id, ended).map(Ok));
        }
        if self.is_half_closed {
            return Poll::Pending;
        }
        let message = ready!(self.incoming.poll_next_unpin(context));
        budget.made_progress();
        Poll::Ready(match message {
            Some(Ok(message)) => self.take(message).map(Ok),
            Some(Err(error)) => {
                self.has_failed = true;
                Some(Err(reworded(error)))
            }
            None => {
                self.is_half_closed = true;
                None
            }
        })
    }

    /// Whether nothing more is to be said: what is held needs no answer.
    fn is_over(&self) -> bool {
        self.has_failed || (self.is_half_closed && self.waiting.is_empty())
    }

    /// Takes one message; what is to be said at once.
    fn take(&mut self, message: v1::SessionRequest) -> Option<v1::SessionResponse> {
        // The newest, in whatever order the client's threads have sent theirs.
        self.stamp_nanos = self.stamp_nanos.max(message.stamp_nanos);
        let message = message.message?;
        let (name, bytes) = match &message {
            Message::Acquire(acquire) => ("acquire", &acquire.request_id),
            Message::TryAcquire(acquire) => ("try_acquire", &acquire.request_id),
            Message::Cancel(cancel) => ("cancel", &cancel.request_id),
            Message::Done(done) => ("done", &done.request_id),
            Message::GiveBack(give_back) => ("give_back", &give_back.request_id),
            Message::Reconcile(reconcile) => ("reconcile", &reconcile.request_id),
        };
        let id = match fields::request_id("request_id", bytes) {
            Ok(id) => id,
            Err(bad) => {
                let said = failed(Problem::from(bad.within(name)));
                return Some(v1::SessionResponse { request_id: bytes.clone(), message: Some(said) });
            }
        };
        let said = match message {
            Message::Acquire(acquire) => self.begin(id, Mode::Wait, wire::acquire(name, Some(acquire))),
            Message::TryAcquire(acquire) => self.begin(id, Mode::Try, wire::try_acquire(name, Some(acquire))),
            Message::Cancel(_) => self.cancel(id),
            Message::Done(_) => self.end(id, drop).map(|()| None),
            Message::GiveBack(_) => self.end(id, Permit::give_back).map(|()| Some(Said::Ended(v1::Ended {}))),
            Message::Reconcile(reconcile) => self.reconcile(id, reconcile.usage),
        };
        said.unwrap_or_else(|problem| Some(failed(problem))).map(|said| under(id, said))
    }

    fn begin(&mut self, id: RequestId, mode: Mode, parsed: Result<ParsedAcquire, BadField>) -> Result<Option<Said>, Problem> {
        let parsed = parsed?;
        // What was cancelled counts until it has left the queue.
        let is_full = self.open.len().max(self.waiting.len()) >= self.max_requests;
        let Entry::Vacant(open) = self.open.entry(id) else {
            return Err(Problem::request_id_in_use());
        };
        if is_full {
            return Err(Problem::bound_reached("max_session_requests", self.max_requests));
        }
        let (leave, registration) = AbortHandle::new_pair();
        let throttler = self.throttler.clone();
        self.waiting.push(Box::pin(async move {
            // Made in its place: it is large, and every move copies it.
            let acquire = Abortable::new(answer(throttler, parsed, mode), registration);
            (id, End::Acquire(acquire.await))
        }));
        open.insert(Open::Waiting { mode, leave });
        Ok(None)
    }

    fn cancel(&mut self, id: RequestId) -> Result<Option<Said>, Problem> {
        match self.open.remove(&id) {
            Some(Open::Waiting { leave, .. }) => leave.abort(),
            // The grant and the cancel have crossed: the client has started nothing.
            Some(Open::Held(permit)) => permit.give_back(),
            None => return Err(not_open()),
        }
        Ok(Some(Said::Ended(v1::Ended {})))
    }

    /// Ends a request that is held, in the way of its client's choice.
    fn end(&mut self, id: RequestId, end: impl FnOnce(Permit)) -> Result<(), Problem> {
        match self.open.remove(&id) {
            Some(Open::Held(permit)) => {
                end(*permit);
                Ok(())
            }
            Some(waiting @ Open::Waiting { .. }) => {
                self.open.insert(id, waiting);
                Err(Problem::not_found("UNKNOWN_REQUEST", "this request has not been granted: cancel it"))
            }
            None => Err(not_open()),
        }
    }

    /// Ends a request that is held, and has the ledger told what it has taken; that is answered when the ledger knows.
    fn reconcile(&mut self, id: RequestId, usage: Option<v1::Usage>) -> Result<Option<Said>, Problem> {
        let Some(Open::Held(permit)) = self.open.get(&id) else {
            return self.end(id, drop).map(|()| None);
        };
        let claim = permit.claim();
        let actual = wire::usage("reconcile.usage", usage, claim.slot.cost)?;
        let throttler = self.throttler.clone();
        let reconcile = async move { told(throttler.reconcile(&claim, actual)).await };
        self.waiting.push(Box::pin(async move { (id, End::Reconcile(reconcile.await)) }));
        self.end(id, drop).map(|()| None)
    }

    /// What is to be said about something that has ended; nothing about an acquire that was cancelled, for that was answered.
    fn settle(&mut self, id: RequestId, ended: End) -> Option<v1::SessionResponse> {
        let ended = match ended {
            End::Acquire(ended) => ended.ok()?,
            End::Reconcile(reconciled) => {
                let reconciled = reconciled.and_then(|told| told.map_err(|error| Problem::of_reconcile(&error)));
                let said = reconciled.map_or_else(failed, |reconciled| Said::Reconciled(super::reconciled(&reconciled)));
                return Some(under(id, said));
            }
        };
        let Entry::Occupied(mut open) = self.open.entry(id) else { return None };
        let Open::Waiting { mode, .. } = *open.get() else { return None };
        let said = match ended {
            Ok(Answer::Granted(permit)) => {
                let said = Said::Granted(granted(&permit, self.stamp_nanos));
                open.insert(Open::Held(permit));
                return Some(under(id, said));
            }
            Ok(Answer::Throttled(retry_after)) => {
                Said::Throttled(v1::Throttled { retry_after: Some(fields::to_span(retry_after)) })
            }
            Err(error) => {
                let field = match mode {
                    Mode::Wait => "acquire",
                    Mode::Try => "try_acquire",
                };
                failed(of_acquire(field, &error))
            }
        };
        open.remove();
        Some(under(id, said))
    }
}

impl Stream for Session {
    type Item = Result<v1::SessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_over() && self.stopping.poll_unpin(context).is_ready() {
            self.has_failed = true;
            return Poll::Ready(Some(Err(Problem::draining().into())));
        }
        while !self.is_over() {
            if let Some(said) = ready!(self.poll_step(context)) {
                return Poll::Ready(Some(said));
            }
        }
        Poll::Ready(None)
    }
}

/// A grant with its age. The stamp is one that the server had before it took the age: so the client's count since that stamp covers
/// everything that the age doesn't.
fn granted(permit: &Permit, stamp_nanos: Option<u64>) -> v1::Granted {
    let age: Duration = permit.age();
    v1::Granted { grant: Some(grant(permit)), stamp_nanos, age: Some(fields::to_span(age)) }
}

/// An answer to the request of this id.
fn under(id: RequestId, said: Said) -> v1::SessionResponse {
    v1::SessionResponse { request_id: fields::request_id_bytes(id), message: Some(said) }
}

fn not_open() -> Problem {
    Problem::not_found("UNKNOWN_REQUEST", "no request of this id is open in this session")
}

fn failed(problem: Problem) -> Said {
    let status = Status::from(problem);
    let (code, message) = (i32::from(status.code()), status.message().to_owned());
    Said::Failed(v1::Failed { code, message, status_details: status.details().to_vec() })
}
