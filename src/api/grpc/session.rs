//! A session: many acquires over one stream.
//!
//! ```text
//! client ── acquire(id), try_acquire(id) ──► waiting ──► granted(id), age, stamp ──► held ── done(id), give_back(id), reconcile(id) ──► ended(id), reconciled(id)
//!        ── cancel(id) ────────────────────► left the queue: ended(id)
//! ```
//!
//! Promises: one answer for each acquire, under its id; a message that is refused is answered under its id, and the stream lives on; a stream
//! that is dropped takes its waiters out of the queue.
//! Must not: spawn. Everything is polled by the one who writes the stream, so what the client doesn't read stops what the server reads, and nothing grows.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
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

/// One session, from its first message to its last answer.
pub(super) struct Session {
    throttler: Throttler,
    incoming: Streaming<v1::SessionRequest>,
    draining: watch::Receiver<bool>,
    max_requests: usize,
    open: HashMap<RequestId, Open>,
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
        draining: watch::Receiver<bool>,
        max_requests: usize,
    ) -> Self {
        let (open, waiting) = (HashMap::new(), FuturesUnordered::new());
        Self {
            throttler,
            incoming,
            draining,
            max_requests,
            open,
            waiting,
            stamp_nanos: None,
            is_half_closed: false,
            has_failed: false,
            _counted: OneMore::of(&telemetry::SESSIONS),
        }
    }

    /// The next answer; `None` when the session is over.
    pub(super) async fn next(&mut self) -> Option<Result<v1::SessionResponse, Status>> {
        while !self.is_over() {
            tokio::select! {
                // Cancel-safe: a message is taken whole or stays.
                message = self.incoming.message(), if !self.is_half_closed => match message {
                    Ok(Some(message)) => {
                        if let Some(answer) = self.take(message) {
                            return Some(Ok(answer));
                        }
                    }
                    Ok(None) => self.is_half_closed = true,
                    Err(error) => {
                        self.has_failed = true;
                        return Some(Err(reworded(error)));
                    }
                },
                // Cancel-safe: an acquire that has not ended stays in the set.
                Some((id, ended)) = self.waiting.next(), if !self.waiting.is_empty() => {
                    if let Some(answer) = self.settle(id, ended) {
                        return Some(Ok(answer));
                    }
                }
                // Cancel-safe: it only looks.
                () = stopping(&mut self.draining) => {
                    self.has_failed = true;
                    return Some(Err(Problem::draining().into()));
                }
            }
        }
        None
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
        let bytes = bytes.clone();
        let said = match fields::request_id(&format!("{name}.request_id"), &bytes) {
            Err(bad) => Err(Problem::from(bad)),
            Ok(id) => match message {
                Message::Acquire(acquire) => self.begin(id, Mode::Wait, wire::acquire(name, Some(acquire))),
                Message::TryAcquire(acquire) => self.begin(id, Mode::Try, wire::try_acquire(name, Some(acquire))),
                Message::Cancel(_) => self.cancel(id),
                Message::Done(_) => self.end(id, drop),
                Message::GiveBack(_) => self.end(id, Permit::give_back),
                Message::Reconcile(reconcile) => self.reconcile(id, reconcile.usage),
            },
        };
        let said = said.unwrap_or_else(|problem| Some(failed(problem)))?;
        Some(v1::SessionResponse { request_id: bytes, message: Some(said) })
    }

    fn begin(&mut self, id: RequestId, mode: Mode, parsed: Result<ParsedAcquire, BadField>) -> Result<Option<Said>, Problem> {
        let parsed = parsed?;
        if self.open.contains_key(&id) {
            return Err(Problem::request_id_in_use());
        }
        // What was cancelled counts until it has left the queue.
        if self.open.len().max(self.waiting.len()) >= self.max_requests {
            return Err(Problem::bound_reached("max_session_requests", self.max_requests));
        }
        let (leave, registration) = AbortHandle::new_pair();
        let acquire = Abortable::new(answer(self.throttler.clone(), parsed, mode), registration);
        self.waiting.push(Box::pin(async move { (id, End::Acquire(acquire.await)) }));
        self.open.insert(id, Open::Waiting { mode, leave });
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
    fn end(&mut self, id: RequestId, end: impl FnOnce(Permit)) -> Result<Option<Said>, Problem> {
        match self.open.remove(&id) {
            Some(Open::Held(permit)) => end(*permit),
            Some(waiting @ Open::Waiting { .. }) => {
                self.open.insert(id, waiting);
                return Err(Problem::not_found("UNKNOWN_REQUEST", "this request has not been granted: cancel it"));
            }
            None => return Err(not_open()),
        }
        Ok(Some(Said::Ended(v1::Ended {})))
    }

    /// Ends a request that is held, and has the ledger told what it has taken; that is answered when the ledger knows.
    fn reconcile(&mut self, id: RequestId, usage: Option<v1::Usage>) -> Result<Option<Said>, Problem> {
        let Some(Open::Held(permit)) = self.open.get(&id) else {
            return self.end(id, drop);
        };
        let claim = permit.claim();
        let actual = wire::usage("reconcile.usage", usage, claim.slot.cost)?;
        let throttler = self.throttler.clone();
        let reconcile = async move { told(throttler.reconcile(&claim, actual)).await };
        self.waiting.push(Box::pin(async move { (id, End::Reconcile(reconcile.await)) }));
        self.end(id, drop).map(|_| None)
    }

    /// What is to be said about something that has ended; nothing about an acquire that was cancelled, for that was answered.
    fn settle(&mut self, id: RequestId, ended: End) -> Option<v1::SessionResponse> {
        let ended = match ended {
            End::Acquire(ended) => ended.ok()?,
            End::Reconcile(reconciled) => {
                let reconciled = reconciled.and_then(|told| told.map_err(|error| Problem::of_reconcile(&error)));
                let said = reconciled.map_or_else(failed, |reconciled| Said::Reconciled(super::reconciled(&reconciled)));
                return Some(v1::SessionResponse { request_id: fields::request_id_bytes(id), message: Some(said) });
            }
        };
        let Some(Open::Waiting { mode, .. }) = self.open.remove(&id) else { return None };
        let said = match ended {
            Ok(Answer::Granted(permit)) => {
                let said = Said::Granted(self.granted(&permit));
                self.open.insert(id, Open::Held(permit));
                said
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
        Some(v1::SessionResponse { request_id: fields::request_id_bytes(id), message: Some(said) })
    }

    /// A grant with its age. The stamp is one that the server had before it took the age: so the client's count since that stamp covers
    /// everything that the age doesn't.
    fn granted(&self, permit: &Permit) -> v1::Granted {
        let age: Duration = permit.age();
        v1::Granted { grant: Some(grant(permit)), stamp_nanos: self.stamp_nanos, age: Some(fields::to_span(age)) }
    }
}

fn not_open() -> Problem {
    Problem::not_found("UNKNOWN_REQUEST", "no request of this id is open in this session")
}

fn failed(problem: Problem) -> Said {
    let status = Status::from(problem);
    let (code, message) = (i32::from(status.code()), status.message().to_owned());
    Said::Failed(v1::Failed { code, message, status_details: status.details().to_vec() })
}
