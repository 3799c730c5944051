//! A client's connection in HTTP/1.1, from its first byte to its last.
//!
//! While it is idle it holds no buffer and no state of a request; those are taken when bytes come
//! and kept as long as more come soon.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use core_routing::desync::{Body, Verdict};
use core_routing::limits::{HEAD_SECONDS, REQUESTS_PER_CONNECTION};
use tokio::io::{AsyncRead, AsyncWrite};

use super::request::{self, Unread};
use super::server::Server;
use super::wire::{Framing, Line, Wire};
use crate::arrival::Arrival;
use crate::exchange::{After, Desk, exchange, refuse};
use crate::watch::Watched;

/// Idle for longer than this, a connection gives back what it holds.
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// After its last answer a client is listened to for so long, lest a reset overtakes the answer.
const LINGER_FOR: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// Serves a connection; `input` was read of it before.
///
/// A function that makes a future, not an asynchronous one: that would hold its arguments twice, and
/// there is one per idle connection.
pub fn serve<S>(io: S, input: Vec<u8>, arrival: Arrival) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin + Line,
{
    let worker = &arrival.worker;
    let mut wire = Wire::new(io, worker.buffers.clone(), input);
    let watched = worker.watches.add();
    let lives_for = arrival.table().served.balancer.attributes.client_keep_alive_for;
    let ends_ms = worker.watches.now_ms() + lives_for.as_millis() as u64;
    let mut course = Course { ends_ms, served: 0, left_ms: 0, is_hot: false };
    async move {
        loop {
            let idle_for = arrival.table().served.balancer.attributes.idle_timeout_for;
            watched.within(if course.is_hot { idle_for.saturating_sub(QUIET_AFTER) } else { idle_for });
            if !wait(&mut wire, &watched, &arrival, course.served == 0).await {
                break;
            }
            // Who comes again soon is kept ready for the next request.
            let since_ms = arrival.worker.watches.now_ms() - course.left_ms;
            course.is_hot = course.served > 0 && since_ms <= QUIET_AFTER.as_millis() as u64;
            // In a box, since it is many times what an idle connection needs.
            if Box::pin(busy(&mut wire, &watched, &arrival, &mut course)).await == Next::Close {
                break;
            }
            course.left_ms = arrival.worker.watches.now_ms();
        }
        // Nobody must take what has broken off for the whole.
        if wire.is_open_ended() {
            wire.io.cut();
        }
    }
}

/// How long a connection that came while its listener goes may take to say something.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

struct Course {
    /// When it is too old to serve another request.
    ends_ms: u64,
    served: u32,
    /// When it last became idle.
    left_ms: u64,
    /// Its requests follow each other closely.
    is_hot: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing has come for a while.
    Quiet,
    Close,
}

/// Waits for bytes. False: there is nobody to wait for, or it has taken too long. A connection that
/// `is_new` has its first request on the way: nobody has told it yet that the listener goes.
async fn wait<S>(wire: &mut Wire<S>, watched: &Watched, arrival: &Arrival, is_new: bool) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Line,
{
    if !wire.input().is_empty() {
        return true;
    }
    let mut is_last_call = false;
    poll_fn(|cx| match wire.poll_read(cx) {
        Poll::Ready(Ok(count)) => Poll::Ready(count > 0),
        Poll::Ready(Err(_)) => Poll::Ready(false),
        Poll::Pending if watched.poll_due(cx) => Poll::Ready(false),
        Poll::Pending if arrival.is_over() && !is_new => Poll::Ready(false),
        Poll::Pending => {
            if arrival.is_over() && !std::mem::replace(&mut is_last_call, true) {
                watched.within(FIRST_REQUEST_WITHIN);
            }
            Poll::Pending
        }
    })
    .await
}

/// Serves requests for as long as they come.
async fn busy<S>(wire: &mut Wire<S>, watched: &Watched, arrival: &Arrival, course: &mut Course) -> Next
where
    S: AsyncRead + AsyncWrite + Unpin + Line,
{
    let worker = &arrival.worker;
    let mut desk = worker.desk();
    let next = loop {
        match one(wire, watched, arrival, course, &mut desk).await {
            After::Keep => {}
            After::Close => {
                linger(wire, watched).await;
                break Next::Close;
            }
            After::Abort => break Next::Close,
        }
        if wire.input().is_empty() {
            if !course.is_hot {
                break Next::Quiet;
            }
            watched.within(QUIET_AFTER);
            if !wait(wire, watched, arrival, false).await {
                let is_open = watched.watch.is_due() && !wire.is_ended() && !arrival.is_over();
                break if is_open { Next::Quiet } else { Next::Close };
            }
        }
    };
    worker.give_desk(desk);
    next
}

/// One request, of which some bytes have come.
async fn one<S>(
    wire: &mut Wire<S>,
    watched: &Watched,
    arrival: &Arrival,
    course: &mut Course,
    desk: &mut Desk,
) -> After
where
    S: AsyncRead + AsyncWrite + Unpin + Line,
{
    let read = match head(wire, watched, arrival, desk).await {
        Headed::Read(read) => read,
        Headed::Gone => return After::Abort,
        Headed::Unread(unread) => {
            wire.expect_body(Framing::None);
            let mut server = Server::new(wire, &desk.request);
            server.keeps = false;
            desk.verdict = unread.verdict;
            return match refuse(&mut server, desk, arrival, unread.status).await {
                After::Abort => After::Abort,
                _ => After::Close,
            };
        }
    };
    // Whoever asks for somebody else asks there.
    if !arrival.is_for_us(desk.request.host()) {
        return After::Close;
    }
    wire.consume(read.length);
    wire.expect_body(match read.verdict.body {
        Body::None => Framing::None,
        Body::Length(length) => Framing::Length(length),
        Body::Chunked => Framing::Chunked,
    });
    desk.verdict = read.verdict;
    desk.closes_target = read.closes;
    course.served += 1;
    let mut server = Server::new(wire, &desk.request);
    let is_last = course.served >= REQUESTS_PER_CONNECTION
        || arrival.worker.watches.now_ms() >= course.ends_ms
        || arrival.is_over();
    server.keeps &= !is_last && !read.closes;
    let after = exchange(&mut server, desk, arrival).await;
    let keeps = server.keeps;
    match after {
        After::Keep if keeps && wire.has_read_body() => After::Keep,
        After::Keep => After::Close,
        other => other,
    }
}

enum Headed {
    Read(request::Read),
    Unread(Unread),
    Gone,
}

/// Reads until the head is whole.
async fn head<S>(wire: &mut Wire<S>, watched: &Watched, arrival: &Arrival, desk: &mut Desk) -> Headed
where
    S: AsyncRead + AsyncWrite + Unpin + Line,
{
    let table = arrival.table();
    let attributes = &table.served.balancer.attributes;
    desk.begun();
    let mut scanned = 0;
    loop {
        let input = wire.input();
        // A head that comes byte by byte is parsed once, when its end is there.
        let is_worth_it = scanned == 0 || super::has_head_end(input, scanned) || input.len() > 16 * 1024;
        if is_worth_it {
            match request::read(input, &mut desk.request, attributes.desync) {
                Ok(Some(read)) => return Headed::Read(read),
                Ok(None) => {}
                Err(unread) => return Headed::Unread(unread),
            }
        }
        if scanned == 0 {
            watched.within(attributes.idle_timeout_for.min(Duration::from_secs(HEAD_SECONDS)));
        }
        scanned = input.len();
        let more = poll_fn(|cx| match wire.poll_read(cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending if watched.poll_due(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match more.await {
            Some(Ok(count)) if count > 0 => {}
            Some(_) => return Headed::Gone,
            // AWS: a request that is not whole in time.
            None => return Headed::Unread(Unread { status: 408, verdict: Verdict::default() }),
        }
    }
}

/// Says that nothing more comes, and waits for the client to say so too.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, watched: &Watched) {
    watched.within(LINGER_FOR);
    let mut seen = 0;
    poll_fn(|cx| {
        if watched.poll_due(cx) {
            return Poll::Ready(());
        }
        if wire.poll_shutdown(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            let count = wire.input().len();
            wire.consume(count);
            match wire.poll_read(cx) {
                Poll::Ready(Ok(count)) if count > 0 && seen < LINGER_BYTES => seen += count,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
