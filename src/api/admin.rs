//! `AdminService`: how a node and its cluster are, and fault injection where it was asked for.

use tonic::{Request, Response, Status};

use super::status;
use crate::admin::Admin;
use crate::drain::DrainError;
use crate::wire::v1::admin_service_server::AdminService;
use crate::wire::{admin as wire, fields, v1};

/// Whether operators may break things, to see what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaultInjection {
    /// They may not: `RefusePeers` does not exist.
    #[default]
    Disabled,
    /// They may.
    Enabled,
}

/// Serves one node's operators.
#[derive(Debug, Clone)]
pub(super) struct AdminApi {
    admin: Admin,
    fault_injection: FaultInjection,
}

impl AdminApi {
    /// Shows this node.
    pub(super) const fn new(admin: Admin, fault_injection: FaultInjection) -> Self {
        Self { admin, fault_injection }
    }
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(wire::to_status(self.admin.status().await)))
    }

    async fn get_owner(&self, request: Request<v1::GetOwnerRequest>) -> Result<Response<v1::GetOwnerResponse>, Status> {
        let key = fields::key("key", request.into_inner().key).map_err(|bad| status::bad_input(&bad))?;
        let (node, shard) = self.admin.owner(&key).ok_or_else(status::no_owner)?;
        Ok(Response::new(v1::GetOwnerResponse { node: node.to_string(), shard: shard.into() }))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        let within = wire::drains_within(request.into_inner()).map_err(|bad| status::bad_input(&bad))?;
        match self.admin.drain(within).await {
            Ok(()) => Ok(Response::new(v1::DrainResponse {})),
            Err(error @ DrainError::NoPeers) => Err(status::no_peers(&error)),
            Err(error @ (DrainError::Late { .. } | DrainError::NobodyElse)) => Err(status::not_drained(&error)),
        }
    }

    async fn refuse_peers(&self, request: Request<v1::RefusePeersRequest>) -> Result<Response<v1::RefusePeersResponse>, Status> {
        if self.fault_injection == FaultInjection::Disabled {
            return Err(status::no_fault_injection());
        }
        let nodes = wire::nodes("nodes", &request.into_inner().nodes).map_err(|bad| status::bad_input(&bad))?;
        tracing::warn!(?nodes, "refusing peers, by fault injection");
        self.admin.refuse_peers(nodes).map_err(|error| status::no_peers(&error))?;
        Ok(Response::new(v1::RefusePeersResponse {}))
    }
}
