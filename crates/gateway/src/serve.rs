//! Accepting connections and carrying their requests to whoever answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use service::{Origin, Platform};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::admit::{Admission, Refusal};
use crate::api::Apis;
use crate::body::{Body, text};
use crate::guests::Guests;
use crate::peer;
use crate::route::{Peer, Routes};

/// Bounds on what clients may cost.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Connections at a time; further ones wait in the listener's queue.
    pub connections: usize,
    /// Of these, connections of one task; further ones are closed.
    pub task_connections: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// Bytes of an API request's body.
    pub body_limit: usize,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        GatewayOptions {
            connections: 4_096,
            task_connections: 256,
            header_timeout: Duration::from_secs(20),
            body_timeout: Duration::from_secs(60),
            // ECR's UploadLayerPart carries up to 20 MiB, in base64; nothing else is near it.
            body_limit: 30 << 20,
        }
    }
}

/// Connections of users who may not call, at a time; further ones are closed without a word.
const STRANGERS: usize = 64;
/// They are told so at their first request, which must come soon.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);

/// The front door. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    apis: Apis,
    routes: Routes,
    admission: Admission,
    options: GatewayOptions,
    slots: Arc<Semaphore>,
    /// Slots of connections that are answered with a refusal.
    strangers: Arc<Semaphore>,
}

/// Who may come in over a listener.
#[derive(Clone)]
enum Door {
    /// The operator's: told by the socket's owner.
    Host,
    /// Inside a VPC: every peer is one of its tasks.
    Vpc(Arc<str>),
}

impl Gateway {
    pub fn new(platform: Platform, routes: Routes, admission: Admission, options: GatewayOptions) -> Self {
        let slots = Arc::new(Semaphore::new(options.connections));
        let strangers = Arc::new(Semaphore::new(STRANGERS));
        let apis = Apis::new(platform, options.body_limit, options.body_timeout);
        Gateway { inner: Arc::new(Inner { apis, routes, admission, options, slots, strangers }) }
    }

    /// Serves the operator's side until `stop` turns true, then lets requests under way finish.
    pub async fn serve(&self, listener: TcpListener, stop: watch::Receiver<bool>) {
        self.accept(listener, Door::Host, stop).await;
    }

    /// Serves a listener inside the VPC called `vpc` (`account/region/vpc-id`).
    pub async fn serve_vpc(&self, listener: TcpListener, vpc: &str, stop: watch::Receiver<bool>) {
        self.accept(listener, Door::Vpc(vpc.into()), stop).await;
    }

    async fn accept(&self, listener: TcpListener, door: Door, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let server = listener.local_addr().ok();
        let guests = Guests::new(self.inner.options.task_connections);
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&self.inner.slots).acquire_owned() => slot,
                () = stopped(&mut stop) => break,
            };
            let Ok(slot) = slot else { break };
            let (stream, address) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, or the peer is gone already: others still come.
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                },
                () = stopped(&mut stop) => break,
            };
            while connections.try_join_next().is_some() {}
            let guest = match &door {
                Door::Host => None,
                Door::Vpc(_) => match guests.admit(address.ip()) {
                    Some(guest) => Some(guest),
                    // No task takes the place of another, or of the operator.
                    None => continue,
                },
            };
            let (gateway, door, stop) = (self.clone(), door.clone(), stop.clone());
            connections.spawn(async move {
                let peer = gateway.peer(&door, address, server.or(stream.local_addr().ok()), &stream);
                // Whoever may not call takes no place from those who may.
                let strangers = Arc::clone(&gateway.inner.strangers);
                let slot = if peer.is_ok() {
                    Some(slot)
                } else {
                    drop(slot);
                    strangers.try_acquire_owned().ok()
                };
                if slot.is_some() {
                    gateway.connection(stream, peer, stop).await;
                }
                drop((slot, guest));
            });
        }
        // Nobody comes in any more, and whoever tries is told so at once.
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    fn peer(
        &self,
        door: &Door,
        address: SocketAddr,
        server: Option<SocketAddr>,
        stream: &TcpStream,
    ) -> Result<Peer, Refusal> {
        match door {
            Door::Vpc(vpc) => {
                let std::net::IpAddr::V4(ip) = address.ip().to_canonical() else { return Err(Refusal::User) };
                Ok(Peer { address, origin: Origin::Task { vpc: vpc.to_string(), address: ip } })
            }
            Door::Host => {
                let peer = Peer { address, origin: Origin::Operator };
                if self.inner.admission.is_open_to_all {
                    return Ok(peer);
                }
                let local = stream.local_addr().ok().or(server);
                let owner = local.and_then(|server| match peer::owner(address, server) {
                    Ok(owner) => owner,
                    Err(error) => {
                        tracing::warn!(%error, "the owner of a connection cannot be told");
                        None
                    }
                });
                self.inner.admission.user(owner).map(|()| peer)
            }
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: Result<Peer, Refusal>,
        mut stop: watch::Receiver<bool>,
    ) {
        let _ = stream.set_nodelay(true);
        let peer = &peer;
        let service = service_fn(move |request| async move {
            let mut response = match peer {
                Ok(peer) => self.answer(request, peer).await,
                Err(refusal) => text(StatusCode::FORBIDDEN, refusal.text()),
            };
            self.inner.apis.identify(&mut response);
            Ok::<_, Infallible>(response)
        });
        let mut http = http1::Builder::new();
        let patience = if peer.is_ok() { self.inner.options.header_timeout } else { STRANGERS_PATIENCE };
        http.timer(TokioTimer::new())
            .keep_alive(peer.is_ok())
            // Who has said everything may close that side and wait for the answer.
            .half_close(true)
            .header_read_timeout(patience)
            .max_buf_size(64 << 10)
            .max_headers(128);
        let mut connection =
            std::pin::pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let mut is_stopping = *stop.borrow();
        if is_stopping {
            connection.as_mut().graceful_shutdown();
        }
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke");
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

    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        if matches!(peer.origin, Origin::Operator)
            && let Err(refusal) = self.inner.admission.headers(request.headers())
        {
            return text(StatusCode::FORBIDDEN, refusal.text());
        }
        // AWS: newer clients sign the upgrade to a session, too; no operation is one.
        let is_upgrade = request.headers().contains_key(http::header::UPGRADE);
        if (is_upgrade || !self.inner.apis.claims(&request))
            && let Some(endpoint) = self.inner.routes.find(request.uri().path())
        {
            return endpoint.handle(request, peer).await;
        }
        self.inner.apis.answer(request, peer).await
    }
}

/// Resolves once the server is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone: the server ends too.
    let _ = stop.wait_for(|stop| *stop).await;
}
