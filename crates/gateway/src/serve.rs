//! Accepting connections and carrying their requests to whoever answers.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use service::{Origin, Platform};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::accept::{accept, stopped};
use crate::admit::{Admission, Refusal};
use crate::api::Apis;
use crate::balancers::{Balancers, is_balancers, named};
use crate::body::{Body, text};
use crate::first::{self, For};
use crate::guests::Guests;
use crate::peer;
use crate::route::{Peer, Routes};
use crate::stream::Begun;
use crate::tls::TlsDoor;

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
    balancers: Option<Arc<dyn Balancers>>,
    tls: Option<TlsDoor>,
}

/// Who may come in over a listener.
#[derive(Clone)]
enum Door {
    /// The operator's: told by the socket's owner.
    Host,
    /// Inside a VPC: every peer is one of its tasks.
    Vpc(Arc<str>),
    /// Where tasks share the host's network with everybody on it: root and the operator's user are
    /// let in, anybody else with a key that the platform issued. Clients know it by this address,
    /// whatever rules of the kernel make of that.
    Shared(SocketAddr),
}

/// Who has come in, and what is to be thought of it.
struct Visitor {
    peer: Peer,
    /// Why no request is answered, unless it proves itself.
    refusal: Option<Refusal>,
    /// Whether a key of ours opens the door all the same.
    may_prove: bool,
    /// Whether web browsers can be here, too.
    is_on_host: bool,
}

/// What is said to whoever asks for a balancer that is not there.
const NO_BALANCER: &str = "no load balancer answers to this name here\n";

/// A balancer's own traffic never comes so far: where a name of one does, nobody has it. The page of
/// the platform must not look like an answer of what the name once was.
fn is_of_no_balancer(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_balancers)
}

impl Gateway {
    /// `balancers` carry what comes in under their names; `tls` opens to those who say hello.
    pub fn new(
        platform: Platform,
        routes: Routes,
        balancers: Option<Arc<dyn Balancers>>,
        tls: Option<TlsDoor>,
        admission: Admission,
        options: GatewayOptions,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(options.connections));
        let strangers = Arc::new(Semaphore::new(STRANGERS));
        let apis = Apis::new(platform, options.body_limit, options.body_timeout);
        let inner = Inner { apis, routes, admission, options, slots, strangers, balancers, tls };
        Gateway { inner: Arc::new(inner) }
    }

    /// Serves the operator's side until `stop` turns true, then lets requests under way finish.
    pub async fn serve(&self, listener: TcpListener, stop: watch::Receiver<bool>) {
        self.accept(listener, Door::Host, stop).await;
    }

    /// Serves a listener inside the VPC called `vpc` (`account/region/vpc-id`).
    pub async fn serve_vpc(&self, listener: TcpListener, vpc: &str, stop: watch::Receiver<bool>) {
        self.accept(listener, Door::Vpc(vpc.into()), stop).await;
    }

    /// Serves tasks that share the host's network, where others can come in, too. They all connect to
    /// `known_as`.
    pub async fn serve_shared(
        &self,
        listener: TcpListener,
        known_as: SocketAddr,
        stop: watch::Receiver<bool>,
    ) {
        self.accept(listener, Door::Shared(known_as), stop).await;
    }

    async fn accept(&self, listener: TcpListener, door: Door, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let server = listener.local_addr().ok();
        let guests = Guests::new(self.inner.options.task_connections);
        while let Some((stream, address, slot)) = accept(&listener, &self.inner.slots, &mut stop).await {
            while connections.try_join_next().is_some() {}
            let guest = match &door {
                Door::Host => None,
                Door::Vpc(_) | Door::Shared(_) => match guests.admit(address.ip()) {
                    Some(guest) => Some(guest),
                    // No task takes the place of another, or of the operator.
                    None => continue,
                },
            };
            let (gateway, door, stop) = (self.clone(), door.clone(), stop.clone());
            connections.spawn(async move {
                let visitor = gateway.visitor(&door, address, server.or(stream.local_addr().ok()), &stream);
                // Whoever may not call takes no place from those who may.
                let strangers = Arc::clone(&gateway.inner.strangers);
                let slot = if visitor.refusal.is_none() {
                    Some(slot)
                } else {
                    drop(slot);
                    strangers.try_acquire_owned().ok()
                };
                if slot.is_some() {
                    gateway.connection(stream, visitor, stop).await;
                }
                drop((slot, guest));
            });
        }
        // Nobody comes in any more, and whoever tries is told so at once.
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    fn visitor(
        &self,
        door: &Door,
        address: SocketAddr,
        server: Option<SocketAddr>,
        stream: &TcpStream,
    ) -> Visitor {
        let ip = match address.ip().to_canonical() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        };
        let of_task = |vpc: &str| Peer {
            address,
            origin: Origin::Task { vpc: vpc.to_owned(), address: ip.unwrap_or(Ipv4Addr::UNSPECIFIED) },
        };
        let user = |server| self.inner.admission.user(self.owner(address, server)).err();
        match door {
            Door::Vpc(vpc) => {
                let refusal = ip.is_none().then_some(Refusal::User);
                Visitor { peer: of_task(vpc), refusal, may_prove: false, is_on_host: false }
            }
            Door::Host => {
                let peer = Peer { address, origin: Origin::Operator };
                let server = stream.local_addr().ok().or(server);
                let refusal = if self.inner.admission.is_open_to_all { None } else { user(server) };
                Visitor { peer, refusal, may_prove: false, is_on_host: true }
            }
            Door::Shared(known_as) => {
                let refusal = user(Some(*known_as)).map(|_| Refusal::Unproven);
                Visitor { peer: of_task("host"), refusal, may_prove: true, is_on_host: true }
            }
        }
    }

    /// The user whose process opened a connection on this machine.
    fn owner(&self, client: SocketAddr, server: Option<SocketAddr>) -> Option<u32> {
        match peer::owner(client, server?) {
            Ok(owner) => owner,
            Err(error) => {
                tracing::warn!(%error, "the owner of a connection cannot be told");
                None
            }
        }
    }

    /// Looks at who is meant, and gives the connection to them.
    async fn connection(&self, mut stream: TcpStream, visitor: Visitor, mut stop: watch::Receiver<bool>) {
        let _ = stream.set_nodelay(true);
        // Whoever is refused is told so, in the way in which it asks; no balancer hears of it. Tasks
        // reach balancers by their addresses, where security groups are asked.
        let may_stay = visitor.refusal.is_none() || visitor.may_prove;
        let is_operator = visitor.refusal.is_none() && visitor.peer.origin == Origin::Operator;
        let balancers = self.inner.balancers.as_deref().filter(|_| is_operator);
        let patience = if may_stay { self.inner.options.header_timeout } else { STRANGERS_PATIENCE };
        let (to, read) = first::read(&mut stream, balancers, patience, &mut stop).await;
        match (to, &self.inner.balancers, &self.inner.tls) {
            (For::Nobody, _, _) => {}
            (For::Balancer(named), Some(balancers), _) => match (named.port, stream.into_std()) {
                (Some(port), Ok(stream)) => balancers.adopt(stream, read, &named.balancer, port),
                (_, Err(error)) => tracing::debug!(%error, "a connection broke"),
                (None, Ok(_)) => {}
            },
            (For::Tls, _, Some(tls)) => {
                let accepted = tokio::time::timeout(patience, tls.accept(Begun::new(stream, read)));
                match accepted.await {
                    Ok(Ok(stream)) => self.http(stream, visitor, stop).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
            (For::Tls | For::Http | For::Balancer(_), _, _) => {
                self.http(Begun::new(stream, read), visitor, stop).await;
            }
        }
    }

    async fn http<S>(&self, stream: S, visitor: Visitor, mut stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let visitor = &visitor;
        let service = service_fn(move |request| async move {
            let is_proven = visitor.may_prove && self.inner.apis.is_borne(&request);
            let mut response = match visitor.refusal {
                Some(refusal) if !is_proven => text(StatusCode::FORBIDDEN, refusal.text()),
                _ => self.answer(request, visitor).await,
            };
            self.inner.apis.identify(&mut response);
            Ok::<_, Infallible>(response)
        });
        let mut http = http1::Builder::new();
        let may_stay = visitor.refusal.is_none() || visitor.may_prove;
        let patience = if may_stay { self.inner.options.header_timeout } else { STRANGERS_PATIENCE };
        http.timer(TokioTimer::new())
            .keep_alive(may_stay)
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

    async fn answer(&self, request: Request<Incoming>, visitor: &Visitor) -> Response<Body> {
        let peer = &visitor.peer;
        if visitor.is_on_host
            && let Err(refusal) = self.inner.admission.headers(request.headers())
        {
            return text(StatusCode::FORBIDDEN, refusal.text());
        }
        if peer.origin == Origin::Operator
            && let Some(response) = self.misdirected(&request)
        {
            return response;
        }
        if is_of_no_balancer(&request) {
            return text(StatusCode::NOT_FOUND, NO_BALANCER);
        }
        // AWS: newer clients sign the upgrade to a session, too; no operation is one.
        let upgrade = request.headers().get(http::header::UPGRADE);
        let is_web_socket = upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if (is_web_socket || !self.inner.apis.claims(&request))
            && let Some(endpoint) = self.inner.routes.find(request.uri().path())
        {
            return endpoint.handle(request, peer).await;
        }
        self.inner.apis.answer(request, peer).await
    }

    /// The answer to a request for a balancer on a connection that is not the balancer's: where an
    /// earlier request was for somebody else, or the balancer has no such listener.
    fn misdirected(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let balancers = self.inner.balancers.as_deref()?;
        let host = request.headers().get(http::header::HOST)?.to_str().ok()?;
        let mut response = match named(balancers, host, false)?.port {
            Some(_) => text(
                StatusCode::MISDIRECTED_REQUEST,
                "Misdirected: a load balancer is asked on a connection of its own\n",
            ),
            None => text(
                StatusCode::NOT_FOUND,
                "Not found: this load balancer has no listener that the name means\n",
            ),
        };
        let close = http::header::HeaderValue::from_static("close");
        response.headers_mut().insert(http::header::CONNECTION, close);
        Some(response)
    }
}
