//! A finished exchange as metrics count it and access logs tell it.
//!
//! AWS: "CloudWatch metrics" and "Access logs for your Application Load Balancer".

use core_routing::desync::Class;
use core_routing::headers::{X_AMZN_TRACE_ID, is_valid_name, trace_id};
use core_routing::logs::{AccessLine, MatchedRule, Transform};
use core_routing::{Form, Listener, Protocol, TargetParts, Version, without_port};
use tokio::time::Instant;

use super::Desk;
use super::finish::{Action, Story};
use crate::arrival::Arrival;
use crate::counts::{Counters, Metric};
use crate::log::LogKind;
use crate::table::Here;
use crate::tls::Facts;

/// Counts a finished exchange, and writes its line where access logs are kept.
pub fn tell(story: &Story, desk: &Desk, arrival: &Arrival, here: &Here) {
    let told = Told { story, desk, arrival, here };
    let zone = here.served.zone(arrival.node);
    told.count(&here.counters.zone(zone));
    if let Some(group) = &story.group {
        let zone = group.served.group.targets.get(story.place).and_then(|target| target.zone.as_ref());
        told.count_forwarded(&group.counters.zone(zone));
    }
    if let Some(destination) = &here.served.balancer.attributes.access_log {
        told.write(destination);
    }
}

struct Told<'a> {
    story: &'a Story,
    desk: &'a Desk,
    arrival: &'a Arrival,
    here: &'a Here,
}

impl Told<'_> {
    fn received_bytes(&self) -> u64 {
        self.desk.request.fields.bytes().len() as u64 + self.story.up_bytes
    }

    fn sent_bytes(&self) -> u64 {
        self.desk.answer.fields.bytes().len() as u64 + self.story.down_bytes
    }

    fn listener(&self) -> Option<&Listener> {
        self.here.served.listener(self.arrival.port).map(|(listener, _)| listener)
    }

    fn count(&self, counters: &Counters) {
        let (story, desk) = (self.story, self.desk);
        let bytes = self.received_bytes() + self.sent_bytes();
        counters.add(Metric::ProcessedBytes, bytes);
        if self.arrival.peer_ip().is_ipv6() {
            counters.add(Metric::Ipv6ProcessedBytes, bytes);
            counters.add(Metric::Ipv6RequestCount, 1);
        }
        if desk.verdict.class() > Class::Compliant {
            counters.add(Metric::DesyncMitigationModeNonCompliantRequestCount, 1);
        }
        if let Some((listener, rule)) = self.listener().zip(story.rule) {
            let tried = listener.rules.partition_point(|known| known.priority < rule.max(1));
            let tried = if rule == 0 { listener.rules.len() } else { tried + 1 };
            counters.add(Metric::RuleEvaluations, tried as u64);
        }
        if story.is_redirect_too_long {
            counters.add(Metric::HttpRedirectUrlLimitExceededCount, 1);
        }
        match story.action {
            Action::Fixed => counters.add(Metric::HttpFixedResponseCount, 1),
            Action::Redirect => counters.add(Metric::HttpRedirectCount, 1),
            Action::Forward | Action::None => {}
        }
        match (story.own_status, story.action) {
            (Some(status), _) => counters.balancer_answered(status),
            (None, Action::Fixed | Action::Redirect) => counters.balancer_answered(story.status.unwrap_or(0)),
            (None, Action::Forward | Action::None) => {}
        }
        if story.group.is_some() {
            self.count_forwarded(counters);
            self.count_headers(counters);
        }
    }

    /// For the balancer and for the group.
    fn count_forwarded(&self, counters: &Counters) {
        let story = self.story;
        let Some(group) = &story.group else { return };
        counters.add(Metric::RequestCount, 1);
        if group.served.group.version == Version::Grpc {
            counters.add(Metric::GrpcRequestCount, 1);
        }
        if group.served.group.stickiness.is_some() && !story.is_bound {
            counters.add(Metric::NonStickyRequestCount, 1);
        }
        if story.connections > 0 {
            counters.add(Metric::NewConnectionCount, u64::from(story.connections));
        }
        if story.connection_errors > 0 {
            counters.add(Metric::TargetConnectionErrorCount, u64::from(story.connection_errors));
            counters.add(Metric::TargetTlsNegotiationErrorCount, u64::from(story.handshake_errors));
        }
        if group.pool(self.here.served.zone(self.arrival.node)).fails_open() {
            counters.add(Metric::UnhealthyRoutingRequestCount, 1);
        }
        if let (Some(sent_at), Some(answered_at), Some(status)) =
            (story.sent_at, story.answered_at, story.targets.last().and_then(|tried| tried.status))
        {
            counters.target_answered(status, answered_at - sent_at);
        }
    }

    fn count_headers(&self, counters: &Counters) {
        if self.desk.request.fields.iter().all(|(name, _)| is_valid_name(name)) {
            return;
        }
        let drops = self.here.served.balancer.attributes.drops_invalid_headers;
        counters.add(
            if drops {
                Metric::DroppedInvalidHeaderRequestCount
            } else {
                Metric::ForwardedInvalidHeaderRequestCount
            },
            1,
        );
    }

    fn write(&self, destination: &str) {
        let (story, desk, arrival) = (self.story, self.desk, self.arrival);
        let (request, balancer) = (&desk.request, &self.here.served.balancer);
        let now = arrival.worker.now();
        let parts = TargetParts::of(request.target());
        let host = parts.authority.or_else(|| request.host()).unwrap_or_default();
        let node = arrival.node.map(|node| node.to_string()).unwrap_or_default();
        let host = if host.is_empty() { node.as_bytes() } else { without_port(host) };
        let is_https = self.listener().is_some_and(|listener| listener.protocol == Protocol::Https);
        let mut made = Vec::new();
        let listed = crate::counts::connection_id(arrival.id);
        let tls = arrival.tls.as_deref();
        let line = AccessLine {
            kind: self.kind(is_https),
            at: now,
            balancer: &balancer.id,
            client: Some(arrival.peer),
            targets: &story.targets,
            request_for: story.sent_at.map(|at| at - desk.began_at),
            target_for: story.answered_at.zip(story.sent_at).map(|(answered, sent)| answered - sent),
            response_for: story.answered_at.map(|_| std::time::Duration::ZERO),
            status: story.status.or(story.own_status),
            received_bytes: self.received_bytes(),
            sent_bytes: self.sent_bytes(),
            method: request.method(),
            scheme: if is_https { "https" } else { "http" },
            host,
            port: arrival.port,
            target: path_and_query(request.target(), parts.authority),
            version: version(request.form),
            user_agent: request.fields.get("user-agent"),
            tls_cipher: tls.map(|tls| tls.cipher),
            tls_version: tls.map(|tls| tls.version),
            group_arn: story.group.as_ref().map(|group| &*group.served.group.arn),
            trace_id: Some(self.trace(&mut made)),
            domain: tls.and_then(|tls| tls.server_name.as_deref()),
            certificate_arn: tls.and_then(shown),
            rule: match (story.rule, story.own_status) {
                (Some(priority), _) => MatchedRule::Priority(priority),
                (None, _) => MatchedRule::None,
            },
            came_at: now - Instant::now().saturating_duration_since(desk.began_at),
            actions: actions(story.action),
            redirect_url: story.redirect_url.as_deref(),
            verdict: desk.verdict,
            connection_id: Some(&listed),
            rewritten_host: desk.texts.host.as_deref().filter(|_| story.action == Action::Forward),
            rewritten_target: desk.texts.target.as_deref().filter(|_| story.action == Action::Forward),
            transform: self.transform(),
            node: arrival.node,
        };
        let write = |text: &mut String| line.write(text);
        arrival.worker.book.write(LogKind::Access, balancer, destination, write);
    }

    fn kind(&self, is_https: bool) -> &'static str {
        let is_grpc =
            self.story.group.as_ref().is_some_and(|group| group.served.group.version == Version::Grpc);
        match (self.desk.request.form, is_https) {
            (Form::Http2, _) if is_grpc => "grpcs",
            (Form::Http2, _) => "h2",
            (_, true) if self.story.is_tunnel => "wss",
            (_, false) if self.story.is_tunnel => "ws",
            (_, true) => "https",
            (_, false) => "http",
        }
    }

    /// What went to the target; what would have, where the balancer answered.
    fn trace<'a>(&'a self, made: &'a mut Vec<u8>) -> &'a [u8] {
        if self.story.sent_at.is_some() {
            return &self.desk.texts.trace;
        }
        let worker = &self.arrival.worker;
        let came = self.desk.request.fields.get(X_AMZN_TRACE_ID);
        trace_id(came, false, &mut worker.trace_ids.borrow_mut(), worker.now(), made);
        made
    }

    fn transform(&self) -> Transform {
        let texts = &self.desk.texts;
        match self.story.action {
            Action::Forward if texts.host.is_some() || texts.target.is_some() => Transform::Done,
            Action::None if self.story.is_redirect_too_long => Transform::None,
            // A rule that forwards and did not: its transforms came to nothing.
            Action::None if self.story.rule.is_some() && self.story.own_status == Some(500) => {
                Transform::Failed
            }
            _ => Transform::None,
        }
    }
}

/// AWS: what `chosen_cert_arn` says.
fn shown(tls: &Facts) -> Option<&str> {
    if tls.is_resumed { Some("session-reused") } else { tls.certificate.as_deref() }
}

fn actions(action: Action) -> &'static [&'static str] {
    match action {
        Action::None => &[],
        Action::Forward => &["forward"],
        Action::Redirect => &["redirect"],
        Action::Fixed => &["fixed-response"],
    }
}

fn version(form: Form) -> &'static str {
    match form {
        Form::Http10 => "HTTP/1.0",
        Form::Http11 => "HTTP/1.1",
        Form::Http2 => "HTTP/2.0",
    }
}

/// Of an absolute URI, what stands behind its authority.
fn path_and_query<'a>(target: &'a [u8], authority: Option<&[u8]>) -> &'a [u8] {
    let Some(authority) = authority else { return target };
    let scheme = target.iter().position(|byte| *byte == b':').unwrap_or(0) + 3;
    match target.get(scheme + authority.len()..) {
        Some([]) | None => b"/",
        Some(rest) => rest,
    }
}
