//! Connections of tasks, bounded in number, size and time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::{Guests, accept, stopped};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer;
use crate::route::Asked;
use crate::{Door, TaskEndpoint};

/// Connections at a time over one listener; further ones wait in its queue.
const CONNECTIONS: usize = 1_024;
/// Of these, connections of one task's address; further ones are closed. Tasks on the host have one
/// address between them.
const OF_ONE: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// No request here says much.
const BODY: usize = 64 << 10;

impl TaskEndpoint {
    /// Serves a listener at 169.254.170.2:80 until `stop` turns true, then lets requests under way
    /// finish.
    pub async fn serve(&self, listener: TcpListener, door: Door, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let guests = Guests::new(if door == Door::Host { CONNECTIONS } else { OF_ONE });
        let mut connections = JoinSet::new();
        while let Some((stream, peer, slot)) = accept(&listener, &slots, &mut stop).await {
            while connections.try_join_next().is_some() {}
            let Some(guest) = guests.admit(peer.ip()) else { continue };
            let (endpoint, door, stop) = (self.clone(), door.clone(), stop.clone());
            connections.spawn(async move {
                endpoint.connection(stream, &door, peer, stop).await;
                drop((slot, guest));
            });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn connection(
        &self,
        stream: TcpStream,
        door: &Door,
        peer: SocketAddr,
        mut stop: watch::Receiver<bool>,
    ) {
        let _ = stream.set_nodelay(true);
        let service =
            service_fn(
                move |request| async move { Ok::<_, Infallible>(self.answer(request, door, peer).await) },
            );
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .half_close(true)
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(32 << 10)
            .max_headers(64);
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a task's connection broke");
                    }
                    return;
                }
                () = stopped(&mut stop), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        door: &Door,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY).collect()).await;
        let Ok(Ok(body)) = body else {
            return answer::text(StatusCode::BAD_REQUEST, "the body could not be read\n");
        };
        let body = body.to_bytes();
        let asked =
            Asked { method: &parts.method, path: parts.uri.path(), body: &body, door, peer: peer.ip() };
        self.inner.answer(&asked).await
    }
}
