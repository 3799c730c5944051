//! The next connection of a listener, for as long as it serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A connection, with its slot among those that may be open.
pub type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// Waits for a slot, then for a connection; further ones wait in the listener's queue. `None` once
/// `stop` turns true.
pub async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &mut watch::Receiver<bool>,
) -> Option<Accepted> {
    let slot = tokio::select! {
        slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
        () = stopped(stop) => return None,
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(stop) => return None,
        };
        match accepted {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            Err(error) => {
                // Out of descriptors, or the peer is gone already: others still come.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Resolves once the server is to end.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone: the server ends too.
    let _ = stop.wait_for(|stop| *stop).await;
}
