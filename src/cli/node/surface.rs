//! What a node shows to the network, on one address. The only file of the command that knows what is served there.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::api;
use crate::cli::settings::Place;

/// Why an address can't be served on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: cannot listen on {address}")]
pub(crate) struct ListenError {
    /// Where the address was said.
    place: Place,
    /// The address.
    address: SocketAddr,
    /// Why.
    #[source]
    source: io::Error,
}

/// An address that is ours.
#[derive(Debug)]
pub(super) struct Surface {
    starting: api::Starting,
    address: SocketAddr,
}

impl Surface {
    /// Takes the address, which was said at this place.
    ///
    /// # Errors
    /// When another process has it, or it isn't one of this machine's.
    pub(super) async fn bind(address: SocketAddr, place: &Place) -> Result<Self, ListenError> {
        let failed = |source| ListenError { place: place.clone(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "other machines can reach this address, and there is no authentication");
        }
        tracing::info!(%address, "starting: health is told from now on");
        Ok(Self { starting: api::Starting::on(listener), address })
    }

    /// The address, with the port that was found if any would do.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers while `start` runs that the node is starting.
    pub(super) async fn while_starting<T>(&mut self, start: impl Future<Output = T>) -> T {
        self.starting.until(start).await
    }

    /// Serves until `shutdown`; then calls are told, and have 5 s to end.
    pub(super) async fn serve(self, served: api::Served, shutdown: impl Future<Output = ()>) {
        self.starting.serve(served, shutdown).await;
    }
}
