//! Connections to targets: made, kept while idle, handed out again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use crate::counts::Active;
use crate::h1::{Client, Wire};
use crate::hash::Quick;
use crate::table::Here;
use crate::worker::Worker;

/// AWS: a target that does not take the connection within this is answered for with 504.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Idle connections per target that a worker keeps.
const KEPT: usize = 512;

/// A connection, in the clear or encrypted; counted while it is open.
pub struct Stream {
    line: Line,
    _active: Active,
}

enum Line {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Where a connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// Of the balancer: addresses mean something within its VPC alone.
    pub number: u32,
    /// The node's address that it leaves from.
    pub from: Ipv4Addr,
    pub to: SocketAddrV4,
    pub is_tls: bool,
}

/// Idle connections of one worker.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<Route, Vec<Idle>, Quick>>,
}

struct Idle {
    client: Box<Client<Stream>>,
    since_ms: u64,
}

impl Pool {
    /// The one that served last, if any is still open. `surely`: the kernel is asked, too, which
    /// knows before the runtime does.
    pub fn take(&self, route: &Route, surely: bool) -> Option<Box<Client<Stream>>> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(route)?;
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let mut found = kept.pop()?;
            if found.client.poll_usable(&mut cx) && !(surely && found.client.wire.io.is_ended()) {
                found.client.is_reused = true;
                return Some(found.client);
            }
        }
    }

    pub fn give(&self, route: &Route, client: Box<Client<Stream>>, since_ms: u64) {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(*route).or_default();
        if kept.len() < KEPT {
            kept.push(Idle { client, since_ms });
        }
    }

    /// Closes what has been idle since before `before_ms`, and what targets have closed.
    pub fn sweep(&self, before_ms: u64) {
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain_mut(|idle| idle.since_ms >= before_ms && idle.client.poll_usable(&mut cx));
            !kept.is_empty()
        });
    }

    /// Closes what leads out of a balancer that is gone.
    pub fn forget(&self, number: u32) {
        self.idle.borrow_mut().retain(|route, _| route.number != number);
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoConnection {
    TimedOut,
    Refused(io::Error),
}

/// A new connection.
pub async fn connect(
    worker: &Worker,
    here: &Here,
    route: &Route,
) -> Result<Box<Client<Stream>>, NoConnection> {
    let connecting = open(worker, here, route, false);
    match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok(stream)) => Ok(Box::new(Client::new(Wire::new(stream, worker.buffers.clone(), Vec::new())))),
        Ok(Err(error)) => Err(NoConnection::Refused(error)),
        Err(_) => Err(NoConnection::TimedOut),
    }
}

/// A connection over which HTTP/2 is to be spoken.
///
/// # Errors
/// `TimedOut`, or what the kernel or the handshake says.
pub async fn open_h2(worker: &Worker, here: &Here, route: &Route) -> io::Result<Stream> {
    let opening = open(worker, here, route, true);
    tokio::time::timeout(CONNECT_WITHIN, opening)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn open(worker: &Worker, here: &Here, route: &Route, is_http2: bool) -> io::Result<Stream> {
    let stream = dial(worker, here, route).await?;
    let active = Active::count(here.counters.zone(here.served.zone(Some(route.from))));
    let line = match route.is_tls {
        false => Line::Plain(stream),
        true => {
            let stream = worker.reencryption.connect(stream, *route.to.ip(), is_http2).await?;
            Line::Tls(Box::new(stream))
        }
    };
    Ok(Stream { line, _active: active })
}

async fn dial(worker: &Worker, here: &Here, route: &Route) -> io::Result<TcpStream> {
    let socket = worker.sockets.dial(&here.served.balancer.place, route.from).await?;
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let stream = socket.connect(SocketAddr::V4(route.to)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Stream {
    /// Whether the target has closed it, as the kernel knows it.
    fn is_ended(&self) -> bool {
        let socket = match &self.line {
            Line::Plain(stream) => stream,
            Line::Tls(stream) => stream.get_ref().0,
        };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(socket, &mut [0], flags) {
            Ok((_, count)) => count == 0,
            Err(error) => !matches!(error, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Line::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Line::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().line {
            Line::Plain(_) => Poll::Ready(Ok(())),
            Line::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Line::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        all: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().line {
            Line::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, all),
            Line::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, all),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
