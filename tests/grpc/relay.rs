//! A network between a client and the server that fails as no closed socket does.

use std::net::SocketAddr;

use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// One connection through it; both its sockets stay open until it is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    cut: oneshot::Sender<()>,
    carrying: JoinHandle<()>,
}

impl Relay {
    /// Carries everything, both ways.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = oneshot::channel::<()>();
        let carrying = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(server).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
            let there = async {
                tokio::select! {
                    _ = copy(&mut from_client, &mut to_server) => {}
                    _ = is_cut => {}
                }
                std::future::pending::<()>().await;
            };
            let back = copy(&mut from_server, &mut to_client);
            drop(tokio::join!(there, back));
        });
        Self { address, cut, carrying }
    }

    /// What the client says goes nowhere from now on; what the server says still arrives.
    pub(crate) fn cut(self) -> Cut {
        drop(self.cut);
        Cut(self.carrying)
    }
}

/// A connection that was cut in one direction.
pub(crate) struct Cut(JoinHandle<()>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.abort();
    }
}
