//! Connections to targets that speak HTTP/2: few per target, shared by many requests.
//!
//! One pool per worker, so nothing here is locked against other threads. A connection is dialed by
//! one request at a time per target; the others wait for it and then share it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use core_routing::limits::RESPONSE_HEADERS_BYTES;
use h2::Ping;
use h2::client::{Connection, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::limits;

/// How long a target's settings are waited for.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Which connections serve a request: those of one balancer from one node to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// [`crate::table::Served::number`].
    pub balancer: u32,
    pub node: Ipv4Addr,
    pub target: SocketAddrV4,
    pub https: bool,
}

/// A worker's connections to such targets.
#[derive(Default)]
pub struct Pool {
    targets: RefCell<HashMap<Wanted, Rc<Target>>>,
}

struct Target {
    lines: RefCell<Vec<Line>>,
    /// Who has the one permit dials.
    dialing: Semaphore,
}

/// One connection.
struct Line {
    send: SendRequest<Bytes>,
    load: Rc<Load>,
}

/// How a connection is used; shared with the task that drives it.
struct Load {
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    is_closed: Cell<bool>,
}

/// The right to open one stream; counted until it is dropped.
pub struct Lease {
    pub(super) send: SendRequest<Bytes>,
    load: Rc<Load>,
    /// The connection was made for it.
    pub is_new: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.load.streams.get().saturating_sub(1);
        self.load.streams.set(left);
        if left == 0 {
            self.load.idle_since.set(Instant::now());
        }
    }
}

impl Pool {
    /// A stream on a connection with room for it, dialed with `dial` where there is none. TLS, where
    /// there is to be any, is part of dialing. An unused connection is closed after `idle_for`.
    ///
    /// # Errors
    /// Those of `dial`.
    pub async fn lease<S>(
        &self,
        wanted: Wanted,
        idle_for: Duration,
        dial: impl Future<Output = io::Result<S>>,
    ) -> io::Result<Lease>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let target = self.target(wanted);
        if let Some(lease) = target.find().await {
            return Ok(lease);
        }
        let permit = target.dialing.acquire().await.map_err(io::Error::other)?;
        if let Some(lease) = target.find().await {
            return Ok(lease);
        }
        if let Some(lease) = target.crowd() {
            return Ok(lease);
        }
        let (send, mut connection) = shake(dial.await?).await?;
        let ping = connection.ping_pong();
        let load = Rc::new(Load {
            streams: Cell::new(1),
            idle_since: Cell::new(Instant::now()),
            is_closed: Cell::new(false),
        });
        tokio::task::spawn_local(drive(connection, load.clone(), idle_for));
        if let Some(mut ping) = ping {
            // Its answer comes behind the target's settings: before these, more streams than it takes
            // could be opened, and what it refuses may have a body that is gone. Its failure is told
            // by the first stream.
            let _ = tokio::time::timeout(SETTLED_WITHIN, ping.ping(Ping::opaque())).await;
        }
        target.lines.borrow_mut().push(Line { send: send.clone(), load: load.clone() });
        drop(permit);
        Ok(Lease { send, load, is_new: true })
    }

    /// Forgets connections that are closed, and targets that have none.
    pub fn sweep(&self) {
        self.targets.borrow_mut().retain(|_, target| {
            let mut lines = target.lines.borrow_mut();
            lines.retain(|line| !line.load.is_closed.get());
            !lines.is_empty() || Rc::strong_count(target) > 1
        });
    }

    fn target(&self, wanted: Wanted) -> Rc<Target> {
        let made = || Rc::new(Target { lines: RefCell::default(), dialing: Semaphore::new(1) });
        self.targets.borrow_mut().entry(wanted).or_insert_with(made).clone()
    }
}

impl Target {
    /// On a connection with room.
    async fn find(&self) -> Option<Lease> {
        loop {
            let mut lease = {
                let mut lines = self.lines.borrow_mut();
                lines.retain(|line| !line.load.is_closed.get());
                let has_room = |line: &&Line| line.load.streams.get() < line.send.current_max_send_streams();
                lines.iter().find(has_room)?.lease()
            };
            // Says whether the target has begun to leave.
            match poll_fn(|cx| lease.send.poll_ready(cx)).await {
                Ok(()) => return Some(lease),
                Err(_) => lease.load.is_closed.set(true),
            }
        }
    }

    /// On the emptiest one, to wait for its turn, where there are as many as there may be.
    fn crowd(&self) -> Option<Lease> {
        let lines = self.lines.borrow();
        if lines.len() < limits::TARGET_CONNECTIONS {
            return None;
        }
        lines.iter().min_by_key(|line| line.load.streams.get()).map(Line::lease)
    }
}

impl Line {
    fn lease(&self) -> Lease {
        self.load.streams.set(self.load.streams.get() + 1);
        Lease { send: self.send.clone(), load: self.load.clone(), is_new: false }
    }
}

async fn shake<S>(stream: S) -> io::Result<(SendRequest<Bytes>, Connection<S, Bytes>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(limits::TARGET_STREAM_WINDOW)
        .initial_connection_window_size(limits::TARGET_CONNECTION_WINDOW)
        .initial_max_send_streams(limits::TARGET_STREAMS_AT_FIRST)
        .max_header_list_size(2 * RESPONSE_HEADERS_BYTES as u32)
        .max_send_buffer_size(limits::SEND_BUFFER)
        .handshake(stream)
        .await
        .map_err(|error| error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()))
}

/// Reads and writes until the connection ends or nobody has used it for long.
async fn drive<S>(mut connection: Connection<S, Bytes>, load: Rc<Load>, idle_for: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let due_at = load.idle_since.get().max(Instant::now() - idle_for) + idle_for;
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection of HTTP/2 to a target broke");
                }
                break;
            }
            () = tokio::time::sleep_until(due_at.max(Instant::now() + Duration::from_millis(100))) => {
                let is_unused = load.streams.get() == 0;
                if is_unused && load.idle_since.get() + idle_for <= Instant::now() {
                    break;
                }
            }
        }
    }
    load.is_closed.set(true);
}
