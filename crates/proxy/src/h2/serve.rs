//! A client's connection: streams accepted, run and counted.

use std::future::{Future, poll_fn};
use std::pin::Pin;
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
use tokio::time::{Instant, Sleep};

use super::front::Stream;
use super::{limits, request};
use crate::arrival::Arrival;
use crate::exchange::{After, Desk, exchange};

/// Serves a connection on which `h2` was agreed until it is closed, or has been idle for too long.
pub(crate) async fn serve<S>(stream: S, arrival: Arrival)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
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
    let run = |request, respond, desk, arrival| run(request, respond, desk, arrival);
    let mut streams = FuturesUnordered::new();
    let mut course = Course::new(&arrival);
    let ended = poll_fn(|cx| {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    course.begin(&mut connection);
                    let desk = course.desks.pop().unwrap_or_default();
                    streams.push(run(request, respond, desk, arrival.clone()));
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            match Pin::new(&mut streams).poll_next(cx) {
                Poll::Ready(Some(ended)) => course.end(ended, &mut connection),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        course.poll_time(cx, streams.is_empty(), &mut connection)
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
async fn run(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    mut desk: Desk,
    arrival: Arrival,
) -> Ended {
    let (parts, body) = request.into_parts();
    let length = request::read(&parts, body.is_end_stream(), &mut desk.request);
    drop(parts);
    let length = match length {
        Ok(length) => length,
        Err(malformed) => {
            tracing::debug!(peer = %arrival.peer, why = malformed.why, "a stream's head is no request");
            Stream::new(body, respond, crate::exchange::Length::None).refuse(malformed.status);
            return Ended { desk, was_reset: false, closes: false };
        }
    };
    let mut stream = Stream::new(body, respond, length);
    if exchange(&mut stream, &mut desk, &arrival).await == After::Abort {
        stream.abort();
    }
    Ended { desk, was_reset: stream.is_reset(), closes: stream.closes }
}

struct Ended {
    desk: Desk,
    was_reset: bool,
    closes: bool,
}

/// What a connection has seen so far.
struct Course {
    began_at: Instant,
    requests: u32,
    resets: u32,
    under_way: u32,
    idle_since: Instant,
    idle_for: Duration,
    lives_for: Duration,
    timer: Pin<Box<Sleep>>,
    /// When the client was told to go away.
    is_leaving: bool,
    desks: Vec<Desk>,
}

impl Course {
    fn new(arrival: &Arrival) -> Self {
        let attributes = &arrival.table().served.balancer.attributes;
        let now = Instant::now();
        Course {
            began_at: now,
            requests: 0,
            resets: 0,
            under_way: 0,
            idle_since: now,
            idle_for: attributes.idle_timeout_for,
            lives_for: attributes.client_keep_alive_for,
            timer: Box::pin(tokio::time::sleep(
                attributes.idle_timeout_for.min(attributes.client_keep_alive_for),
            )),
            is_leaving: false,
            desks: Vec::new(),
        }
    }

    fn begin<S>(&mut self, connection: &mut Connection<S, Bytes>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.requests = self.requests.saturating_add(1);
        self.under_way += 1;
        if self.requests >= REQUESTS_PER_CONNECTION {
            self.leave(connection);
        }
    }

    fn end<S>(&mut self, ended: Ended, connection: &mut Connection<S, Bytes>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.under_way -= 1;
        if self.under_way == 0 {
            self.idle_since = Instant::now();
        }
        self.desks.push(ended.desk);
        if ended.closes {
            self.leave(connection);
        }
        self.resets += u32::from(ended.was_reset);
        if self.resets > limits::RESETS && self.resets > self.requests / 2 {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
    }

    fn leave<S>(&mut self, connection: &mut Connection<S, Bytes>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.is_leaving {
            self.is_leaving = true;
            connection.graceful_shutdown();
        }
    }

    /// Looks at the clock when the timer says so. Ends a connection that was told to go and does
    /// not, with `Ready`.
    fn poll_time<S>(
        &mut self,
        cx: &mut Context<'_>,
        is_idle: bool,
        connection: &mut Connection<S, Bytes>,
    ) -> Poll<Result<(), h2::Error>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let idle_at = if is_idle { self.idle_since } else { now } + self.idle_for;
            if self.is_leaving && is_idle {
                return Poll::Ready(Ok(()));
            }
            let old_at = self.began_at + self.lives_for;
            if !self.is_leaving && (idle_at <= now || old_at <= now) {
                self.leave(connection);
                // The last word has to be sent still.
                cx.waker().wake_by_ref();
            }
            let next = match self.is_leaving {
                true => now + limits::LAST_WORD_FOR,
                false => idle_at.min(old_at),
            };
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}
