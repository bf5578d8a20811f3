//! Health, as load balancers and orchestrators ask for it: `grpc.health.v1.Health`.
//!
//! Promises: SERVING as long as the node serves, and NOT_SERVING from then on; who watches is told, and no watch outlives the server.

use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::admin::AdminApi;
use super::throttle::ThrottleApi;
use crate::api::MAX_MESSAGE_BYTES;
use crate::wire::v1::admin_service_server::AdminServiceServer;
use crate::wire::v1::throttle_service_server::ThrottleServiceServer;

/// Whose health can be asked for: the server's as a whole, and that of its services. They are one.
const NAMES: [&str; 3] =
    ["", <ThrottleServiceServer<ThrottleApi> as NamedService>::NAME, <AdminServiceServer<AdminApi> as NamedService>::NAME];

/// What the health service says.
#[derive(Debug)]
pub(in crate::api) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// The health of a server that serves, and the service that tells it.
    pub(in crate::api) async fn serving() -> (Self, HealthServer<HealthService>) {
        let health = Self { reporter: HealthReporter::new() };
        health.set(ServingStatus::Serving).await;
        let service = HealthService::from_health_reporter(health.reporter.clone());
        (health, HealthServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }

    /// The node has stopped.
    pub(in crate::api) async fn set_not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// The server stops. Who watches is told so, and their streams end: they would keep their connections.
    pub(in crate::api) async fn end(mut self) {
        self.set_not_serving().await;
        for name in NAMES {
            self.reporter.clear_service_status(name).await;
        }
    }

    async fn set(&self, status: ServingStatus) {
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }
}
