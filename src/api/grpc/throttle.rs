//! `ThrottleService`: unary calls, and the door to sessions.
//!
//! Promises: a caller that goes away leaves the queue, for the wait is in its call's own future; every call ends when the server stops.

use std::time::Duration;

use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::grant;
use super::session::Session;
use super::status::of_acquire;
use crate::api::answer::{Answer, Mode, answer};
use crate::api::problem::Problem;
use crate::api::told;
use crate::api::{Bounds, stopping};
use crate::client::{AcquireError, Claim, Throttler};
use crate::wire::fields::{self, BadField};
use crate::wire::throttle::ParsedAcquire;
use crate::wire::v1::throttle_service_server::ThrottleService;
use crate::wire::{claim, throttle as wire, v1};

/// The path of the acquire in every message that has one.
const ACQUIRE: &str = "acquire";

/// Serves one throttler. Cheap to clone: one for each connection.
#[derive(Debug, Clone)]
pub(super) struct ThrottleApi {
    throttler: Throttler,
    draining: watch::Receiver<bool>,
    bounds: Bounds,
}

impl ThrottleApi {
    /// Serves until `draining` says so.
    pub(super) const fn new(throttler: Throttler, draining: watch::Receiver<bool>, bounds: Bounds) -> Self {
        Self { throttler, draining, bounds }
    }

    /// One unary acquire.
    async fn unary(&self, parsed: ParsedAcquire, mode: Mode) -> Result<(Option<v1::Grant>, Option<Duration>), Status> {
        let mut draining = self.draining.clone();
        let answer = tokio::select! {
            answer = answer(self.throttler.clone(), parsed, mode) => answer,
            () = stopping(&mut draining) => return Err(Problem::draining().into()),
        };
        match answer.map_err(|error| of_acquire(ACQUIRE, &error))? {
            Answer::Throttled(retry_after) => Ok((None, Some(retry_after))),
            Answer::Granted(permit) => Ok((Some(grant(&permit)), None)),
        }
    }
}

const fn outcome(grant: Option<&v1::Grant>) -> v1::Outcome {
    if grant.is_some() { v1::Outcome::Granted } else { v1::Outcome::Throttled }
}

#[tonic::async_trait]
impl ThrottleService for ThrottleApi {
    type SessionStream = Session;

    async fn acquire(&self, request: Request<v1::AcquireRequest>) -> Result<Response<v1::AcquireResponse>, Status> {
        let deadline = call_deadline(request.metadata()).map_err(Problem::from)?;
        let parsed = wire::acquire(ACQUIRE, request.into_inner().acquire);
        let mut parsed = parsed.map_err(Problem::from)?;
        parsed.waits.timeout = [deadline, parsed.waits.timeout].into_iter().flatten().min();
        if parsed.waits.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(of_acquire(ACQUIRE, &AcquireError::DeadlineExceeded { waited: Duration::ZERO }).into());
        }
        let (grant, retry_after) = self.unary(parsed, Mode::Wait).await?;
        let (outcome, retry_after) = (outcome(grant.as_ref()).into(), retry_after.map(fields::to_span));
        Ok(Response::new(v1::AcquireResponse { outcome, grant, retry_after }))
    }

    async fn try_acquire(&self, request: Request<v1::TryAcquireRequest>) -> Result<Response<v1::TryAcquireResponse>, Status> {
        let parsed = wire::try_acquire(ACQUIRE, request.into_inner().acquire);
        let (grant, retry_after) = self.unary(parsed.map_err(Problem::from)?, Mode::Try).await?;
        let (outcome, retry_after) = (outcome(grant.as_ref()).into(), retry_after.map(fields::to_span));
        Ok(Response::new(v1::TryAcquireResponse { outcome, grant, retry_after }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        let (key, slot) = claim::token("permit", &request.into_inner().permit).map_err(Problem::from)?;
        let claim = Claim { key, slot };
        match told(self.throttler.release(&claim)).await? {
            Ok(true) => {}
            Ok(false) => return Err(Problem::not_open().into()),
            Err(error) => return Err(of_acquire("permit", &error).into()),
        }
        Ok(Response::new(v1::ReleaseResponse {}))
    }

    async fn reconcile(&self, request: Request<v1::ReconcileRequest>) -> Result<Response<v1::ReconcileResponse>, Status> {
        let v1::ReconcileRequest { permit, usage } = request.into_inner();
        let (key, slot) = claim::token("permit", &permit).map_err(Problem::from)?;
        let actual = wire::usage("usage", usage, slot.cost).map_err(Problem::from)?;
        let claim = Claim { key, slot };
        let reconciled = told(self.throttler.reconcile(&claim, actual)).await?;
        Ok(Response::new(super::reconciled(&reconciled.map_err(|error| Problem::of_reconcile(&error))?)))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let v1::ExplainRequest { key, request_id } = request.into_inner();
        let key = fields::key("key", key).map_err(Problem::from)?;
        let id = fields::request_id("request_id", &request_id).map_err(Problem::from)?;
        let explained = self.throttler.explain_key(&key, id).await.map_err(|error| of_acquire("key", &error))?;
        let explained = explained.ok_or_else(Problem::not_waiting)?;
        Ok(Response::new(wire::to_explained(&explained)))
    }

    async fn session(&self, request: Request<Streaming<v1::SessionRequest>>) -> Result<Response<Self::SessionStream>, Status> {
        let throttler = self.throttler.clone();
        let session = Session::new(throttler, request.into_inner(), self.draining.clone(), self.bounds.max_session_requests);
        Ok(Response::new(session))
    }
}

/// The deadline that the caller has set for the call itself, as gRPC sends it: up to eight digits and a unit.
fn call_deadline(metadata: &MetadataMap) -> Result<Option<Duration>, BadField> {
    const HEADER: &str = "grpc-timeout";
    let Some(value) = metadata.get(HEADER) else { return Ok(None) };
    let bad = || BadField::new(HEADER, format!("is {value:?}: it takes 1 to 8 digits and one of H, M, S, m, u, n"));
    let text = value.to_str().map_err(|_| bad())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or_else(bad)?;
    let span = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(bad()),
    };
    Ok(Some(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(value: &'static str) -> Result<Option<Duration>, BadField> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", value.parse().unwrap());
        call_deadline(&metadata)
    }

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        for (value, millis) in [("2H", 7_200_000), ("3M", 180_000), ("4S", 4_000), ("500m", 500), ("6000u", 6), ("99999999n", 99)]
        {
            let read = deadline(value).unwrap().unwrap();
            assert_eq!(read.as_millis(), millis, "{value}");
        }
        assert_eq!(call_deadline(&MetadataMap::new()), Ok(None));
    }

    #[test]
    fn a_deadline_that_grpc_does_not_write_is_refused() {
        for value in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1.5S", "é"] {
            let refused = deadline(value).map_err(|bad| bad.field);
            assert_eq!(refused, Err("grpc-timeout".to_owned()), "{value:?}");
        }
    }
}
