//! A request that goes to a target.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use core_routing::headers::{is_hop_by_hop, is_named_by_connection};
use core_routing::logs::Tried;
use core_routing::sticky::{Binding, set_cookies, sets_cookie};
use core_routing::{Affinity, HeaderRules, Version};

use super::choose::{Binds, Chosen, chosen};
use super::compose::{self, Outgoing};
use super::finish::Story;
use super::pump::Pump;
use super::relay::{Company, Incomplete, NoAnswer};
use super::seam::{Back, Front, Length, Refusal};
use super::{After, Desk};
use crate::arrival::Arrival;
use crate::h1::{Client, Framing};
use crate::table::{Here, TargetState};
use crate::upstream::{self, NoConnection, Stream};

/// How many targets are tried where none can be reached at all.
const TRIES: usize = 3;
/// Where one takes too long to be reached: each costs the client [`upstream::CONNECT_WITHIN`].
const SLOW_TRIES: usize = 2;

/// What came of it.
pub enum Ended {
    Answered(After),
    /// There is no answer of a target: the balancer gives one of its own.
    Own(u16),
}

/// Counts a request under way for as long as it is.
struct UnderWay<'a>(&'a Arc<TargetState>);

impl<'a> UnderWay<'a> {
    fn at(target: &'a Arc<TargetState>) -> Self {
        target.in_flight.fetch_add(1, Ordering::Relaxed);
        UnderWay(target)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs the request against the chosen target, or another one where that cannot be reached.
pub async fn forward<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    mut target: Chosen,
    story: &mut Story,
) -> Ended {
    let mut unreached = Vec::new();
    let ended = loop {
        let tried = once(front, desk, arrival, here, &target, story).await;
        let failure = match tried {
            Once::Ended(ended) => break ended,
            Once::Unreached(failure) => failure,
        };
        let (status, most) = match failure {
            NoConnection::TimedOut => (504, SLOW_TRIES),
            NoConnection::Refused(error) => {
                tracing::debug!(target = %target.route.to, %error, "target not reached");
                // What TLS says of itself comes as malformed data.
                let is_handshake = target.route.is_tls && error.kind() == std::io::ErrorKind::InvalidData;
                story.handshake_errors += u32::from(is_handshake);
                (502, TRIES)
            }
        };
        story.tried(target.route.to, None);
        story.connection_errors += 1;
        target.group.balance.borrow_mut().note(target.place, false);
        let pool = target.group.pool(here.served.zone(arrival.node));
        unreached.push(target.place);
        // Nothing has been sent, so nothing can be done twice.
        let other = target.group.balance.borrow_mut().choose_other(&pool, &unreached);
        match other.filter(|_| unreached.len() < most) {
            Some(place) => target = chosen(&target.group, place, arrival, here, target.binds),
            None => break Ended::Own(status),
        }
    };
    if let Some(watched) = &desk.watched {
        watched.rest();
    }
    ended
}

enum Once {
    Ended(Ended),
    /// Not a byte was sent.
    Unreached(NoConnection),
}

async fn once<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    target: &Chosen,
    story: &mut Story,
) -> Once {
    let _under_way = UnderWay::at(&target.target);
    story.at(&target.group, target.place, target.binds.is_bound);
    let watched = desk.watched.get_or_insert_with(|| arrival.worker.watches.add());
    watched.watch.serve(Some(target.target.clone()));
    match target.version {
        Version::Http1 => over_h1(front, desk, arrival, here, target, story).await,
        Version::Http2 | Version::Grpc => over_h2(front, desk, arrival, here, target, story).await,
    }
}

async fn over_h1<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    target: &Chosen,
    story: &mut Story,
) -> Once {
    let worker = &arrival.worker;
    let framing = match front.length() {
        Length::None if has_empty_body(desk) => Framing::Length(0),
        Length::None => Framing::None,
        Length::Known(length) => Framing::Length(length),
        Length::Unknown => Framing::Chunked,
    };
    // What may not be sent twice is not risked on a connection that the target has closed just now.
    let is_risky = !may_repeat(desk, front);
    let mut kept = if desk.closes_target { None } else { worker.pool.take(&target.route, is_risky) };
    loop {
        let mut client = match kept.take() {
            Some(client) => client,
            // In a box: the future is large, and needed rarely.
            None => match Box::pin(upstream::connect(worker, here, &target.route)).await {
                Ok(client) => {
                    story.connections += 1;
                    client
                }
                Err(failure) => return Once::Unreached(failure),
            },
        };
        let is_upgrade = write_head(desk, arrival, here, framing, &mut client);
        client.begin(desk.request.method() == b"HEAD", framing);
        story.sent(worker);
        let relayed = relay(front, &mut *client, desk, arrival, here, target, is_upgrade, story).await;
        match relayed {
            Relayed::Ended(ended) => {
                if client.is_reusable() && !desk.closes_target {
                    worker.pool.give(&target.route, client, worker.watches.now_ms());
                }
                return Once::Ended(ended);
            }
            // The target closed while the request was on its way: that says nothing about the request.
            Relayed::ClosedEarly if client.is_reused && may_repeat(desk, front) => {}
            Relayed::ClosedEarly => {
                story.tried(target.route.to, None);
                return Once::Ended(Ended::Own(502));
            }
        }
    }
}

/// The head in bytes; whether it asks for an upgrade.
fn write_head(
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    framing: Framing,
    client: &mut Client<Stream>,
) -> bool {
    let Desk { request, texts, .. } = desk;
    let (host, target) = (texts.host.take(), texts.target.take());
    let upgrade = compose::upgrade(request);
    {
        let outgoing = outgoing(request, arrival, here, host.as_deref(), target.as_deref(), upgrade);
        outgoing.write(texts, framing, client.head());
    }
    // A second try writes the same.
    let is_upgrade = upgrade.is_some();
    (texts.host, texts.target) = (host, target);
    is_upgrade
}

fn outgoing<'a>(
    request: &'a core_routing::Head,
    arrival: &'a Arrival,
    here: &'a Here,
    host: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
) -> Outgoing<'a> {
    let parts = core_routing::TargetParts::of(request.target());
    let came = parts.authority.or_else(|| request.host()).unwrap_or_default();
    // Of an absolute URI only path and query go on.
    let path = match parts.authority {
        None => request.target(),
        Some(_) if parts.query.is_none() => parts.path,
        Some(_) => path_and_query(request.target()),
    };
    let (listener, _) =
        here.served.listener(arrival.port).expect("a request is only forwarded by a rule of its listener");
    let (host, target) = (host.unwrap_or(came), target.unwrap_or(path));
    Outgoing { request, served: &here.served, listener, arrival, target, host, upgrade }
}

/// Of an absolute URI with a query. One without a path has its `?` for a start, which servers take
/// for the root.
fn path_and_query(uri: &[u8]) -> &[u8] {
    let authority = uri.windows(3).position(|text| text == b"://").map_or(0, |at| at + 3);
    let rest = &uri[authority..];
    let start = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    &rest[start..]
}

/// A body of length zero that was announced is announced again: some servers insist on it.
fn has_empty_body(desk: &Desk) -> bool {
    matches!(desk.request.method(), b"POST" | b"PUT" | b"PATCH")
}

/// Whether sending the request twice does what sending it once does.
fn may_repeat(desk: &Desk, front: &impl Front) -> bool {
    let is_safe = matches!(desk.request.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE");
    is_safe && front.length() == Length::None
}

async fn over_h2<F: Front>(
    front: &mut F,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    target: &Chosen,
    story: &mut Story,
) -> Once {
    let worker = &arrival.worker;
    let route = target.route;
    {
        let Desk { request, texts, outgoing: head, .. } = desk;
        let (host, path) = (texts.host.take(), texts.target.take());
        outgoing(request, arrival, here, host.as_deref(), path.as_deref(), None).put(texts, head);
        (texts.host, texts.target) = (host, path);
    }
    let wanted =
        crate::h2::Wanted { balancer: route.number, node: route.from, target: route.to, https: route.is_tls };
    for attempt in 0.. {
        let dial = upstream::open_h2(worker, here, &route);
        let idle_for = here.served.balancer.attributes.idle_timeout_for;
        let lease = match Box::pin(worker.h2.lease(wanted, idle_for, dial)).await {
            Ok(lease) => lease,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                return Once::Unreached(NoConnection::TimedOut);
            }
            Err(error) => return Once::Unreached(NoConnection::Refused(error)),
        };
        story.connections += u32::from(lease.is_new);
        let sent = crate::h2::Sent {
            head: &desk.outgoing,
            length: front.length(),
            https: route.is_tls,
            grpc: target.version == Version::Grpc,
        };
        story.sent(worker);
        let opened = crate::h2::Back::open(lease, sent);
        let is_body_left = opened.is_err() || front.length() == Length::None;
        let relayed = match opened {
            Ok(mut back) => relay(front, &mut back, desk, arrival, here, target, false, story).await,
            Err(Refusal::ClosedEarly) => Relayed::ClosedEarly,
            Err(_) => Relayed::Ended(Ended::Own(502)),
        };
        match relayed {
            Relayed::Ended(ended) => return Once::Ended(ended),
            // In HTTP/2 this says that the target has not looked at it: any method may be repeated.
            Relayed::ClosedEarly if is_body_left && attempt < TRIES => {}
            Relayed::ClosedEarly => break,
        }
    }
    story.tried(route.to, None);
    Once::Ended(Ended::Own(502))
}

enum Relayed {
    Ended(Ended),
    /// Before a byte of an answer.
    ClosedEarly,
}

#[expect(clippy::too_many_arguments, reason = "an exchange's two sides and all that it is about")]
async fn relay<F: Front, B: Back>(
    front: &mut F,
    back: &mut B,
    desk: &mut Desk,
    arrival: &Arrival,
    here: &Here,
    target: &Chosen,
    is_upgrade: bool,
    story: &mut Story,
) -> Relayed {
    let worker = &arrival.worker;
    let Desk { request, answer, watched, closes_target, .. } = desk;
    let watched = watched.as_ref().expect("every attempt has it watched");
    let idle_for = here.served.balancer.attributes.idle_timeout_for;
    let company = Company { buffers: &worker.buffers, watched, idle_for };
    // AWS: a client that waits for an invitation gets it from the balancer.
    front.invite();
    let mut up = Pump::new(front.length());
    let answered = company.answer(front, back, &mut up, answer).await;
    let length = match answered {
        Ok(length) => length,
        Err(reason) => {
            up.abandon(&worker.buffers);
            return unanswered(reason, target.route.to, story);
        }
    };
    story.answered(worker, target.route.to, answer.status);
    let is_tunnel = answer.status == 101 && is_upgrade;
    if answer.status == 101 && !is_upgrade {
        up.abandon(&worker.buffers);
        return Relayed::Ended(Ended::Own(502));
    }
    note(target, answer.status);
    edit(answer, request, arrival, here, target, is_tunnel);
    // The connection to the target is of one use, and so is the client's.
    if *closes_target || arrival.is_over() {
        front.close_after();
    }
    if !up.is_done() && !is_tunnel {
        // The client would have to be listened to for as long as it sends.
        front.close_after();
    }
    front.answer(answer, length);
    let mut down = Pump::of_answer(if is_tunnel { Length::Unknown } else { length });
    if is_tunnel {
        story.is_tunnel = true;
        up = Pump::new(Length::Unknown);
        front.tunnel();
        back.tunnel();
    }
    let ended = company.bodies(front, back, &mut up, &mut down, is_tunnel).await;
    story.bodies(up.moved(), down.moved());
    let is_whole = up.is_done();
    up.abandon(&worker.buffers);
    down.abandon(&worker.buffers);
    Relayed::Ended(Ended::Answered(match ended {
        Ok(()) if is_tunnel || !is_whole => After::Close,
        Ok(()) => After::Keep,
        Err(incomplete) => {
            story.is_incomplete = true;
            if matches!(incomplete, Incomplete::Target | Incomplete::Cut) {
                target.group.balance.borrow_mut().note(target.place, false);
            }
            After::Abort
        }
    }))
}

fn note(target: &Chosen, status: u16) {
    if target.group.served.group.mitigates_anomalies {
        target.group.balance.borrow_mut().note(target.place, status < 500);
    }
}

fn unanswered(reason: NoAnswer, to: SocketAddrV4, story: &mut Story) -> Relayed {
    let status = match reason {
        NoAnswer::Target(Refusal::ClosedEarly) => return Relayed::ClosedEarly,
        NoAnswer::Target(Refusal::Broken(error)) => {
            tracing::debug!(target = %to, %error, "target gave no answer");
            502
        }
        NoAnswer::Target(Refusal::Malformed(why)) => {
            tracing::debug!(target = %to, why, "target's answer is none");
            502
        }
        NoAnswer::ClientGone => 460,
        NoAnswer::ClientMalformed => 400,
        NoAnswer::ClientSilent => 408,
        NoAnswer::TimedOut => 504,
        NoAnswer::Cut => 502,
    };
    story.targets.push(Tried { address: to, status: None });
    Relayed::Ended(Ended::Own(status))
}

/// What the client is told of the target's head: without what belongs to the target's connection,
/// with what the listener and stickiness add.
fn edit(
    answer: &mut super::AnswerHead,
    request: &core_routing::Head,
    arrival: &Arrival,
    here: &Here,
    target: &Chosen,
    is_tunnel: bool,
) {
    let rules = super::rules(here, arrival);
    // A length without a body says what a body would have had.
    let keeps_length = request.method() == b"HEAD" || answer.status == 304;
    let connection = answer.fields.get("connection").filter(|value| !is_plain(value)).map(<[u8]>::to_vec);
    let upgrade = answer.fields.get("upgrade").filter(|_| is_tunnel).map(<[u8]>::to_vec);
    let mut has_date = false;
    answer.fields.retain(|name, _| {
        let len = name.len();
        has_date |= len == 4 && name.eq_ignore_ascii_case(b"date");
        let is_length = len == 14 && name.eq_ignore_ascii_case(b"content-length");
        if is_length {
            return keeps_length;
        }
        let is_named = || connection.as_ref().is_some_and(|value| is_named_by_connection(value, name));
        !(is_hop_by_hop(name) || hides(rules, name) || is_named())
    });
    if !has_date {
        arrival.worker.with_date(|date| answer.fields.add(b"Date", date));
    }
    for (name, value) in &rules.set {
        answer.fields.add(name.as_bytes(), value.as_bytes());
    }
    if let Some(upgrade) = upgrade {
        answer.fields.add(b"Connection", b"upgrade");
        answer.fields.add(b"Upgrade", &upgrade);
    }
    bind(answer, arrival, here, target);
}

fn hides(rules: &HeaderRules, name: &[u8]) -> bool {
    (rules.hides_server && name.eq_ignore_ascii_case(b"server")) || rules.overrides(name)
}

fn is_plain(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// Tells the client what it is bound to.
fn bind(answer: &mut super::AnswerHead, arrival: &Arrival, here: &Here, target: &Chosen) {
    let Binds { group, target: sticky, application, is_bound: _ } = target.binds;
    if group.is_none() && sticky.is_none() && application.is_none() {
        return;
    }
    let (seal, now) = (&here.served.seal, arrival.worker.now());
    let mut set = |binding, name, time| {
        let value = seal.seal(binding, name, now + time);
        for cookie in set_cookies(binding, &value, now + time, now, arrival.tls.is_some()) {
            answer.fields.add(b"Set-Cookie", cookie.as_bytes());
        }
    };
    let served = &target.group.served;
    let named = seal.target(&served.group.arn, &target.target.key.id, target.target.key.port);
    if let Some(time) = sticky {
        set(Binding::Target, named, time);
    }
    if let Some(time) = group {
        set(Binding::Group, seal.group(&served.group.arn), time);
    }
    let affinity = served.group.stickiness.as_ref().map(|sticky| &sticky.by);
    if let (Some(time), Some(Affinity::Application(name))) = (application, affinity) {
        // AWS: the application's own cookie comes first.
        if answer.fields.all("set-cookie").any(|value| sets_cookie(value, name)) {
            let value = seal.seal(Binding::Application, named, now + time);
            for cookie in set_cookies(Binding::Application, &value, now + time, now, arrival.tls.is_some()) {
                answer.fields.add(b"Set-Cookie", cookie.as_bytes());
            }
        }
    }
}
