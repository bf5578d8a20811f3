//! HTTP/JSON.

use axum::Router;
use tokio::sync::watch;

use super::Served;

/// All routes but gRPC's.
pub(super) fn routes(_served: &Served, _draining: watch::Receiver<bool>) -> Router {
    Router::new()
}
