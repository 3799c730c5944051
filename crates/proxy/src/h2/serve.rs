//! A client's connection: streams accepted, run and counted.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use core_routing::limits::{CLIENT_STREAMS, REQUESTS_PER_CONNECTION};
use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use super::front::Stream;
use super::request::Malformed;
use super::{limits, request};
use crate::arrival::Arrival;
use crate::exchange::{After, Front as _, Length, exchange, refuse};
use crate::watch::{Watched, Watches};

/// What HTTP/2 is spoken over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Io for S {}

/// Serves a connection on which `h2` was agreed until it is closed, or has been idle for too long.
pub(crate) async fn serve<S: Io>(stream: S, arrival: Arrival) {
    let shaking = h2::server::Builder::new()
        .max_concurrent_streams(CLIENT_STREAMS)
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_header_list_size(limits::HEADER_LIST)
        .max_send_buffer_size(limits::SEND_BUFFER)
        .handshake::<S, Bytes>(stream);
    let Ok(Ok(mut connection)) = tokio::time::timeout(limits::PREFACE_FOR, shaking).await else {
        tracing::debug!(peer = %arrival.peer, "no preface of HTTP/2");
        return;
    };
    let mut streams = FuturesUnordered::new();
    let mut course = Course::new(&arrival);
    let ended = poll_fn(|cx| {
        // Writes what streams have said since, as well.
        while let Poll::Ready(accepted) = connection.poll_accept(cx) {
            match accepted {
                Some(Ok((request, respond))) => {
                    course.begin(&mut connection);
                    // A place made anew each time was measured to cost less than one that is kept.
                    streams.push(run(request, respond, arrival.clone()));
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        // All that can go on, before any of it is written: what several streams say leaves in one
        // write. The connection wakes this task for it.
        while let Poll::Ready(Some(ended)) = Pin::new(&mut streams).poll_next(cx) {
            course.end(ended, &mut connection);
        }
        course.poll_time(cx, &arrival, &mut connection)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(peer = %arrival.peer, %error, "connection of HTTP/2 broke");
    }
    drop(connection);
    // Each sees that its stream is gone, and says so in the log.
    poll_fn(|cx| {
        while let Poll::Ready(ended) = Pin::new(&mut streams).poll_next(cx) {
            if ended.is_none() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

/// One stream, from its head to its end.
async fn run(request: Request<RecvStream>, respond: SendResponse<Bytes>, arrival: Arrival) -> Ended {
    let mut desk = arrival.worker.desk();
    desk.begun();
    let (parts, mut body) = request.into_parts();
    let length = request::read(&parts, body.is_end_stream(), &mut desk.request);
    let expects = parts.headers.get(http::header::EXPECT).is_some_and(|value| value == "100-continue");
    drop(parts);
    let (length, malformed) = match length {
        Ok(length) => (length, None),
        Err(malformed) => {
            (if body.is_end_stream() { Length::None } else { Length::Unknown }, Some(malformed))
        }
    };
    let owes_an_end = length == Length::None && !body.is_end_stream();
    let is_broken = owes_an_end && !Box::pin(ends_empty(&mut body, &arrival)).await;
    let mut stream = Stream::new(body, respond, length, expects);
    let after = match malformed {
        None if is_broken => After::Abort,
        None => exchange(&mut stream, &mut desk, &arrival).await,
        Some(Malformed(why)) => {
            tracing::debug!(peer = %arrival.peer, why, "a stream's head is no request");
            refuse(&mut stream, &mut desk, &arrival, 400).await
        }
    };
    if after == After::Abort {
        stream.abort();
    }
    arrival.worker.give_desk(desk);
    Ended { was_reset: stream.is_reset() }
}

/// Waits for the end of a body that was said to be empty before the stream was: a body that comes
/// all the same makes the request malformed, and then no target may have seen it.
async fn ends_empty(body: &mut RecvStream, arrival: &Arrival) -> bool {
    let within = arrival.table().served.balancer.attributes.idle_timeout_for;
    let empty = async {
        loop {
            match body.data().await {
                None => return true,
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(_) => return false,
            }
        }
    };
    tokio::time::timeout(within, empty).await.unwrap_or(false)
}

/// How a stream ended.
struct Ended {
    /// The client took it back.
    was_reset: bool,
}

/// What a connection has seen so far.
struct Course {
    watched: Watched,
    watches: Rc<Watches>,
    /// Milliseconds of the worker's coarse clock.
    ends_at: u64,
    idle_since: u64,
    idle_for: Duration,
    requests: u32,
    resets: u32,
    under_way: u32,
    /// The client was told to go away.
    is_leaving: bool,
    /// A word of our own has to be sent still.
    has_spoken: bool,
}

impl Course {
    fn new(arrival: &Arrival) -> Self {
        let watches = arrival.worker.watches.clone();
        let attributes = &arrival.table().served.balancer.attributes;
        let (idle_for, lives_for) = (attributes.idle_timeout_for, attributes.client_keep_alive_for);
        let watched = watches.add();
        watched.within(idle_for.min(lives_for));
        let now = watches.now_ms();
        Course {
            watched,
            watches,
            ends_at: now + lives_for.as_millis() as u64,
            idle_since: now,
            idle_for,
            requests: 0,
            resets: 0,
            under_way: 0,
            is_leaving: false,
            has_spoken: false,
        }
    }

    fn begin<S: Io>(&mut self, connection: &mut Connection<S, Bytes>) {
        self.requests = self.requests.saturating_add(1);
        self.under_way += 1;
        if self.requests >= REQUESTS_PER_CONNECTION {
            self.leave(connection);
        }
    }

    fn end<S: Io>(&mut self, ended: Ended, connection: &mut Connection<S, Bytes>) {
        self.under_way -= 1;
        if self.under_way == 0 {
            self.idle_since = self.watches.now_ms();
        }
        self.resets += u32::from(ended.was_reset);
        if self.resets > limits::RESETS && self.resets > self.requests / 2 {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            self.has_spoken = true;
        }
    }

    fn leave<S: Io>(&mut self, connection: &mut Connection<S, Bytes>) {
        if !self.is_leaving {
            self.is_leaving = true;
            connection.graceful_shutdown();
            self.has_spoken = true;
            self.watched.within(limits::LAST_WORD_FOR);
        }
    }

    /// Looks at the clock when the watch says so, and whether the balancer is served still. Ends a
    /// connection that was told to go and does not, with `Ready`.
    fn poll_time<S: Io>(
        &mut self,
        cx: &mut Context<'_>,
        arrival: &Arrival,
        connection: &mut Connection<S, Bytes>,
    ) -> Poll<Result<(), h2::Error>> {
        if arrival.is_over() {
            self.leave(connection);
        }
        while self.watched.poll_due(cx) {
            let now = self.watches.now_ms();
            let is_idle = self.under_way == 0;
            if self.is_leaving {
                if is_idle {
                    return Poll::Ready(Ok(()));
                }
                self.watched.within(limits::LAST_WORD_FOR);
                continue;
            }
            let idle_ms = if is_idle { now.saturating_sub(self.idle_since) } else { 0 };
            let idle_left = self.idle_for.saturating_sub(Duration::from_millis(idle_ms));
            let left = idle_left.min(Duration::from_millis(self.ends_at.saturating_sub(now)));
            match left.is_zero() {
                true => self.leave(connection),
                false => self.watched.within(left),
            }
        }
        if std::mem::take(&mut self.has_spoken) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
