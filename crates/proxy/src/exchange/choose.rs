//! Who answers a request: the balancer itself, or which target.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use core_routing::headers::count_addresses;
use core_routing::sticky::{Binding, Digest, bound_group, has_cookie, opened};
use core_routing::{
    Affinity, CompiledAction, CompiledRule, Form, Forward, GroupKind, Head, Protocol, RedirectFrom,
    RequestView, TargetParts, Version, limits,
};

use super::Texts;
use crate::arrival::Arrival;
use crate::table::{Here, HereGroup, TargetState};
use crate::upstream::Route;

/// Of all `Connection` fields.
const CONNECTION_BYTES: usize = 1024;

/// What is done with a request.
pub enum Choice<'a> {
    /// An answer with AWS's page.
    Own(u16),
    Fixed(&'a core_routing::FixedResponse),
    Redirect {
        status: u16,
        location: Vec<u8>,
    },
    Forward(Chosen),
    /// It waits for a target of that group.
    Hold(Rc<HereGroup>),
}

enum Place {
    At(usize),
    Nowhere,
    Later,
}

/// A target.
pub struct Chosen {
    pub group: Rc<HereGroup>,
    /// In the group's targets.
    pub place: usize,
    pub target: Arc<TargetState>,
    pub route: Route,
    pub version: Version,
    /// The cookies that the answer binds the client with.
    pub binds: Binds,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Binds {
    pub group: Option<Duration>,
    pub target: Option<Duration>,
    pub application: Option<Duration>,
    /// A cookie chose the target.
    pub is_bound: bool,
}

/// A request with what was made of it so far.
pub struct Asked<'a> {
    pub request: &'a Head,
    pub host: &'a [u8],
    pub parts: TargetParts<'a>,
}

/// A head as rules see it, or the status that it is answered with.
pub fn look(request: &Head) -> Result<Asked<'_>, u16> {
    let method = request.method();
    // AWS: 405 for TRACE and for methods beyond their limit. CONNECT asks for a proxy of another kind.
    if method == b"TRACE" || method.len() > limits::METHOD_BYTES {
        return Err(405);
    }
    let parts = TargetParts::of(request.target());
    let is_path = parts.path.first() == Some(&b'/') || (parts.path == b"*" && method == b"OPTIONS");
    if method == b"CONNECT" || !is_path {
        return Err(400);
    }
    let host = parts.authority.or_else(|| request.host());
    if request.form != Form::Http2 && request.fields.all("host").nth(1).is_some() {
        return Err(400);
    }
    // RFC 9112: HTTP/1.1 has a host, HTTP/1.0 may have none.
    let host = match host {
        Some(host) if host.iter().all(|byte| is_host(*byte)) => host,
        None if request.form == Form::Http10 => b"",
        _ => return Err(400),
    };
    // Each of its names is looked for among all fields: what is honest is short.
    if request.fields.all("connection").map(<[u8]>::len).sum::<usize>() > CONNECTION_BYTES {
        return Err(400);
    }
    if count_addresses(request.fields.all("x-forwarded-for")) > limits::FORWARDED_ADDRESSES {
        return Err(463);
    }
    Ok(Asked { request, host, parts })
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'@' | b'"' | b'<' | b'>')
}

impl Asked<'_> {
    fn view(&self, arrival: &Arrival) -> RequestView<'_> {
        RequestView {
            method: self.request.method(),
            host: self.host,
            path: self.parts.path,
            query: self.parts.query.unwrap_or_default(),
            headers: &self.request.fields,
            source: arrival.peer_ip(),
        }
    }
}

/// Decides. The rule is returned beside it, for the log; `texts` takes what a rule rewrites.
pub fn choose<'a>(
    asked: &Asked<'_>,
    arrival: &Arrival,
    here: &'a Here,
    texts: &mut Texts,
) -> (Choice<'a>, Option<&'a CompiledRule>) {
    let Some((listener, served)) = here.served.listener(arrival.port) else {
        // The listener is gone, and the connection was its last.
        return (Choice::Own(503), None);
    };
    let rule = served.router.route(&asked.view(arrival));
    let choice = match &rule.action {
        CompiledAction::Fixed(fixed) => Choice::Fixed(fixed),
        CompiledAction::Redirect(redirect) => {
            let from = RedirectFrom {
                protocol: listener.protocol,
                host: asked.host,
                port: listener.port,
                path: asked.parts.path,
                query: asked.parts.query.unwrap_or_default(),
            };
            Choice::Redirect { status: redirect.status, location: redirect.location(&from) }
        }
        CompiledAction::Forward(forward) => match rewrite(rule, asked, texts) {
            Ok(()) => target(forward, asked, arrival, here),
            Err(status) => Choice::Own(status),
        },
    };
    (choice, Some(rule))
}

fn rewrite(rule: &CompiledRule, asked: &Asked<'_>, texts: &mut Texts) -> Result<(), u16> {
    texts.host = None;
    texts.target = None;
    if !rule.rewrites() {
        return Ok(());
    }
    let mut target = asked.parts.path.to_vec();
    if let Some(query) = asked.parts.query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    // AWS: 500 where the outcome is none.
    let rewritten = rule.rewrite(asked.host, &target).map_err(|_| 500_u16)?;
    (texts.host, texts.target) = (rewritten.host, rewritten.target);
    Ok(())
}

fn target<'a>(forward: &Forward, asked: &Asked<'_>, arrival: &Arrival, here: &'a Here) -> Choice<'a> {
    let worker = &arrival.worker;
    let headers = &asked.request.fields;
    let mut binds = Binds::default();
    let bound = forward.sticky_for.and_then(|time| {
        binds.group = Some(time);
        let groups = forward.groups.iter().filter(|group| group.weight > 0).map(|group| &group.group);
        bound_group(&here.served.seal, groups, headers, worker.now())
    });
    let arn = match bound {
        Some(arn) => arn,
        None => match forward.deal(&mut worker.chance.borrow_mut()) {
            Some(dealt) => &dealt.group,
            None => return Choice::Own(503),
        },
    };
    let Some(group) = here.group(arn) else { return Choice::Own(503) };
    let version = group.served.group.version;
    if !is_spoken(asked.request, version) {
        return Choice::Own(464);
    }
    match place(group, asked, arrival, here, &mut binds) {
        Place::At(place) => Choice::Forward(chosen(group, place, arrival, here, binds)),
        Place::Nowhere => Choice::Own(503),
        Place::Later => Choice::Hold(group.clone()),
    }
}

/// That target of a group.
pub fn chosen(group: &Rc<HereGroup>, place: usize, arrival: &Arrival, here: &Here, binds: Binds) -> Chosen {
    let (settings, state) = (&group.served.group, &group.served.targets[place]);
    let target = &settings.targets[place];
    debug_assert!(matches!(settings.kind, GroupKind::Instance | GroupKind::Ip));
    let route = Route {
        number: here.served.number,
        from: here.served.leaves_from(arrival.node, target),
        to: std::net::SocketAddrV4::new(target.address, target.port),
        is_tls: settings.protocol == Protocol::Https,
    };
    Chosen { group: group.clone(), place, target: state.clone(), route, version: settings.version, binds }
}

/// AWS: 464 where client and group do not speak alike.
fn is_spoken(request: &Head, version: Version) -> bool {
    let is_http2 = request.form == Form::Http2;
    let is_grpc =
        || request.fields.get("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"));
    match version {
        Version::Http1 => !is_http2 || !is_grpc(),
        Version::Http2 => is_http2,
        Version::Grpc => is_http2 && request.method() == b"POST",
    }
}

fn place(
    group: &Rc<HereGroup>,
    asked: &Asked<'_>,
    arrival: &Arrival,
    here: &Here,
    binds: &mut Binds,
) -> Place {
    let served = &group.served;
    let pool = group.pool(here.served.zone(arrival.node));
    if pool.holds() {
        return Place::Later;
    }
    if let (Some(sticky), Some(named)) = (&served.group.stickiness, &served.named) {
        let now = arrival.worker.now();
        let headers = &asked.request.fields;
        let digest: Option<Digest> = match &sticky.by {
            Affinity::Balancer => {
                binds.target = Some(sticky.lasts_for);
                opened(&here.served.seal, Binding::Target, headers, now)
            }
            Affinity::Application(name) => {
                binds.application = Some(sticky.lasts_for);
                let digest = opened(&here.served.seal, Binding::Application, headers, now);
                digest.filter(|_| has_cookie(headers, name))
            }
        };
        if let Some(place) = digest.and_then(|digest| named.place(digest)).filter(|place| pool.has(*place)) {
            binds.is_bound = true;
            return Place::At(place);
        }
    }
    let needs_now = !served.group.slow_start_for.is_zero() || served.group.mitigates_anomalies;
    let now = if needs_now { arrival.worker.now() } else { Timestamp::EPOCH };
    let place = group.balance.borrow_mut().choose(&served.group, &pool, &**served, now);
    if served.group.mitigates_anomalies {
        group.tell_anomalies();
    }
    place.map_or(Place::Nowhere, Place::At)
}
