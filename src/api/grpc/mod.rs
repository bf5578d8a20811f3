//! `turnstile.v1` over gRPC, with the standard health and reflection services beside it.
//!
//! Must not: decide anything. It parses, calls the `Throttler` and words the answer; what an error is called is in `api::problem`.

mod admin;
mod cluster;
mod health;
mod reflection;
mod session;
mod status;
mod throttle;
mod unreadable;

use axum::middleware::map_response;
use tokio::sync::watch;
use tonic::service::Routes;

use self::admin::AdminApi;
pub(super) use self::health::Health;
use self::throttle::ThrottleApi;
use super::{Bounds, MAX_MESSAGE_BYTES, Served};
use crate::client::{Permit, Reconciled};
use crate::engine::cost::Cost;
use crate::wire::claim::to_token;
use crate::wire::fields::{request_id_bytes, to_span};
use crate::wire::v1;
use crate::wire::v1::admin_service_server::AdminServiceServer;
use crate::wire::v1::throttle_service_server::ThrottleServiceServer;

/// All services of a node, and what tells of its health.
pub(super) async fn services(served: &Served, draining: watch::Receiver<bool>, bounds: Bounds) -> (axum::Router, Health) {
    let (health, health_service) = Health::serving().await;
    let throttle = ThrottleServiceServer::new(ThrottleApi::new(served.throttler.clone(), draining, bounds));
    let admin = AdminServiceServer::new(AdminApi::new(served.throttler.clone(), served.admin.clone(), served.fault_injection));
    let routes = Routes::new(throttle.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(admin.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(health_service)
        .add_service(reflection::service());
    (routes.prepare().into_axum_router().layer(map_response(unreadable::reword)), health)
}

/// A permit as it travels.
fn grant(permit: &Permit) -> v1::Grant {
    let (margin, claim) = (permit.margin(), permit.claim());
    v1::Grant {
        request_id: request_id_bytes(permit.request()),
        tenure: permit.tenure().get(),
        arrival: permit.arrival().get(),
        waits_since: permit.waits_since().get(),
        release: permit.release().get(),
        waited: Some(to_span(permit.waited())),
        start_within: permit.start_within().map(to_span),
        margin: Some(v1::Margin { delivery: Some(to_span(margin.delivery)), guard: Some(to_span(margin.guard)) }),
        permit: to_token(&claim.key, &claim.slot),
    }
}

/// What came of a reconcile, as it travels.
fn reconciled(reconciled: &Reconciled) -> v1::ReconcileResponse {
    let tokens =
        |cost: Cost| v1::TokenCount { tokens: cost.tokens, input_tokens: cost.input_tokens, output_tokens: cost.output_tokens };
    let Reconciled { refunded, owed } = *reconciled;
    v1::ReconcileResponse { refunded: Some(tokens(refunded)), owed: Some(tokens(owed)) }
}
