//! `AdminService`: how a node and its cluster are, what their operators have to say, and fault injection where it was asked for.

use tonic::{Request, Response, Status};

use super::cluster::to_status;
use super::status::of_acquire;
use crate::admin::{Admin, Busiest};
use crate::api::problem::Problem;
use crate::api::{FaultInjection, told};
use crate::client::Throttler;
use crate::drain::DrainError;
use crate::wire::v1::admin_service_server::AdminService;
use crate::wire::{admin as wire, fields, v1};

/// Serves one node's operators.
#[derive(Debug, Clone)]
pub(super) struct AdminApi {
    throttler: Throttler,
    admin: Admin,
    fault_injection: FaultInjection,
}

impl AdminApi {
    /// Shows this node.
    pub(super) const fn new(throttler: Throttler, admin: Admin, fault_injection: FaultInjection) -> Self {
        Self { throttler, admin, fault_injection }
    }
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(to_status(self.admin.status().await)))
    }

    async fn get_owner(&self, request: Request<v1::GetOwnerRequest>) -> Result<Response<v1::GetOwnerResponse>, Status> {
        let key = fields::key("key", request.into_inner().key).map_err(Problem::from)?;
        let (node, shard) = self.admin.owner(&key).ok_or_else(Problem::no_owner)?;
        Ok(Response::new(v1::GetOwnerResponse { node: node.to_string(), shard: shard.into() }))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        let within = wire::drains_within(request.into_inner()).map_err(Problem::from)?;
        match self.admin.drain(within).await {
            Ok(()) => Ok(Response::new(v1::DrainResponse {})),
            Err(error @ DrainError::NoPeers) => Err(Problem::no_peers(&error).into()),
            Err(error @ (DrainError::Late { .. } | DrainError::NobodyElse)) => Err(Problem::not_drained(&error).into()),
        }
    }

    async fn set_limits(&self, request: Request<v1::SetLimitsRequest>) -> Result<Response<v1::SetLimitsResponse>, Status> {
        let (pattern, limits) = wire::rule("rule", request.into_inner().rule).map_err(Problem::from)?;
        let set = self.admin.set_limits(pattern, limits).await;
        let has_replaced = set.map_err(|error| Problem::of_admin(&error))?;
        Ok(Response::new(v1::SetLimitsResponse { has_replaced }))
    }

    async fn get_limits(&self, request: Request<v1::GetLimitsRequest>) -> Result<Response<v1::GetLimitsResponse>, Status> {
        let key = fields::key("key", request.into_inner().key).map_err(Problem::from)?;
        let rule = self.admin.limits(&key).await.map_err(|error| Problem::of_admin(&error))?;
        let rule = rule.ok_or_else(Problem::no_limits)?;
        Ok(Response::new(v1::GetLimitsResponse { rule: Some(wire::to_rule(rule)) }))
    }

    async fn list_limits(&self, request: Request<v1::ListLimitsRequest>) -> Result<Response<v1::ListLimitsResponse>, Status> {
        let v1::ListLimitsRequest { platform, page_size, page_token } = request.into_inner();
        let page = wire::page(&platform, page_size, &page_token).map_err(Problem::from)?;
        let rules = self.admin.list_limits(page.platform.as_deref(), page.after, page.size).await;
        let rules = rules.map_err(|error| Problem::of_admin(&error))?;
        Ok(Response::new(wire::to_page(rules, page.size)))
    }

    async fn delete_limits(
        &self,
        request: Request<v1::DeleteLimitsRequest>,
    ) -> Result<Response<v1::DeleteLimitsResponse>, Status> {
        let pattern = wire::pattern("pattern", request.into_inner().pattern).map_err(Problem::from)?;
        let were_set = self.admin.delete_limits(pattern).await.map_err(|error| Problem::of_admin(&error))?;
        if !were_set {
            return Err(Problem::no_limits().into());
        }
        Ok(Response::new(v1::DeleteLimitsResponse {}))
    }

    async fn pause_connection(
        &self,
        request: Request<v1::PauseConnectionRequest>,
    ) -> Result<Response<v1::PauseConnectionResponse>, Status> {
        let key = fields::key("key", request.into_inner().key).map_err(Problem::from)?;
        told(self.throttler.pause(&key)).await?.map_err(|error| of_acquire("key", &error))?;
        Ok(Response::new(v1::PauseConnectionResponse {}))
    }

    async fn resume_connection(
        &self,
        request: Request<v1::ResumeConnectionRequest>,
    ) -> Result<Response<v1::ResumeConnectionResponse>, Status> {
        let key = fields::key("key", request.into_inner().key).map_err(Problem::from)?;
        told(self.throttler.resume(&key)).await?.map_err(|error| of_acquire("key", &error))?;
        Ok(Response::new(v1::ResumeConnectionResponse {}))
    }

    async fn penalize_connection(
        &self,
        request: Request<v1::PenalizeConnectionRequest>,
    ) -> Result<Response<v1::PenalizeConnectionResponse>, Status> {
        let v1::PenalizeConnectionRequest { key, pause } = request.into_inner();
        let key = fields::key("key", key).map_err(Problem::from)?;
        let pause = fields::required_span("pause", pause).map_err(Problem::from)?;
        let penalized = told(self.throttler.penalize_key(&key, pause)).await?;
        penalized.map_err(|error| Problem::of(&error, |_| "pause".to_owned()))?;
        Ok(Response::new(v1::PenalizeConnectionResponse {}))
    }

    async fn list_connections(
        &self,
        request: Request<v1::ListConnectionsRequest>,
    ) -> Result<Response<v1::ListConnectionsResponse>, Status> {
        let top = wire::at_most("top", request.into_inner().top, 20, 1_000).map_err(Problem::from)?;
        let Busiest { connections, missing } = self.admin.busiest(top).await;
        Ok(Response::new(v1::ListConnectionsResponse {
            connections: connections.into_iter().map(wire::to_connection).collect(),
            missing: missing.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn get_connection(
        &self,
        request: Request<v1::GetConnectionRequest>,
    ) -> Result<Response<v1::GetConnectionResponse>, Status> {
        let key = fields::key("key", request.into_inner().key).map_err(Problem::from)?;
        let connection = self.admin.connection(&key).await.map_err(|error| Problem::of_admin(&error))?;
        let rule = self.admin.limits(&key).await.map_err(|error| Problem::of_admin(&error))?;
        let (connection, rule) = (Some(wire::to_connection(connection)), rule.map(wire::to_rule));
        Ok(Response::new(v1::GetConnectionResponse { connection, rule }))
    }

    async fn refuse_peers(&self, request: Request<v1::RefusePeersRequest>) -> Result<Response<v1::RefusePeersResponse>, Status> {
        if self.fault_injection == FaultInjection::Disabled {
            return Err(Problem::no_fault_injection().into());
        }
        let nodes = wire::nodes("nodes", &request.into_inner().nodes).map_err(Problem::from)?;
        tracing::warn!(?nodes, "refusing peers, by fault injection");
        self.admin.refuse_peers(nodes).map_err(|error| Problem::no_peers(&error))?;
        Ok(Response::new(v1::RefusePeersResponse {}))
    }
}
