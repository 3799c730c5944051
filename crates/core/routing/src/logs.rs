//! Lines of access, connection and health check logs, field by field as AWS writes them.
//!
//! Owns order, escaping and what stands for nothing (`-`). AWS: "Access logs", "Connection logs"
//! and "Health check logs for your Application Load Balancer"; new fields come at the end.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use base::Timestamp;

use crate::clock::log_time;
use crate::desync::Verdict;
use crate::health::Reason;

/// One request, or one WebSocket connection.
#[derive(Debug, Clone, Default)]
pub struct AccessLine<'a> {
    /// `http`, `https`, `h2`, `grpcs`, `ws`, `wss`.
    pub kind: &'a str,
    /// When the answer was made; of a WebSocket, when it was closed.
    pub at: Timestamp,
    /// [`crate::Balancer::id`].
    pub balancer: &'a str,
    pub client: Option<SocketAddr>,
    /// The targets that were tried, the last one last.
    pub targets: &'a [Tried],
    /// Received until sent to a target; `None`: -1.
    pub request_for: Option<Duration>,
    /// Sent until the answer's head came.
    pub target_for: Option<Duration>,
    /// Until the answer was sent.
    pub response_for: Option<Duration>,
    /// `None`: the client was gone before there was an answer.
    pub status: Option<u16>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Empty where the request line was none.
    pub method: &'a [u8],
    /// `http`, `https`, `ws`.
    pub scheme: &'a str,
    /// The host without port, or the node's address.
    pub host: &'a [u8],
    pub port: u16,
    /// Path and query.
    pub target: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: &'a str,
    pub user_agent: Option<&'a [u8]>,
    pub tls_cipher: Option<&'a str>,
    pub tls_version: Option<&'a str>,
    pub group_arn: Option<&'a str>,
    /// The whole header as it went to the target.
    pub trace_id: Option<&'a [u8]>,
    /// SNI.
    pub domain: Option<&'a str>,
    pub certificate_arn: Option<&'a str>,
    pub rule: MatchedRule,
    pub came_at: Timestamp,
    /// `forward`, `redirect`, `fixed-response`; empty: none was reached.
    pub actions: &'a [&'a str],
    pub redirect_url: Option<&'a [u8]>,
    pub verdict: Verdict,
    /// `TID_` and 32 hexadecimal digits; ties the line to its connection's.
    pub connection_id: Option<&'a str>,
    pub rewritten_host: Option<&'a [u8]>,
    pub rewritten_target: Option<&'a [u8]>,
    pub transform: Transform,
    /// The node that served it.
    pub node: Option<Ipv4Addr>,
}

/// A target that was asked, and what it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    pub address: SocketAddrV4,
    pub status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatchedRule {
    /// An error before rules were looked at: `-`.
    #[default]
    None,
    /// An error while they were: `-1`.
    Error,
    /// 0 is the default rule.
    Priority(u32),
}

/// What became of a rule's transforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transform {
    #[default]
    None,
    Done,
    Failed,
}

/// AWS: a longer user agent is cut.
const USER_AGENT_BYTES: usize = 8 * 1024;

impl AccessLine<'_> {
    /// The line without its end, appended to `line`.
    pub fn write(&self, line: &mut String) {
        let last = self.targets.last();
        line.push_str(self.kind);
        put(line, &log_time(self.at));
        put(line, self.balancer);
        shown(line, self.client);
        shown(line, last.map(|tried| tried.address));
        let is_sent = last.is_some();
        for time in [self.request_for, self.target_for, self.response_for] {
            seconds(line, time.filter(|_| is_sent));
        }
        shown(line, self.status);
        shown(line, last.and_then(|tried| tried.status));
        shown(line, Some(self.received_bytes));
        shown(line, Some(self.sent_bytes));
        self.request(line);
        let agent = self.user_agent.map(|agent| &agent[..agent.len().min(USER_AGENT_BYTES)]);
        quoted(line, agent);
        put(line, self.tls_cipher.unwrap_or("-"));
        put(line, self.tls_version.unwrap_or("-"));
        put(line, self.group_arn.unwrap_or("-"));
        quoted(line, self.trace_id);
        quoted(line, self.domain.map(str::as_bytes));
        quoted(line, self.certificate_arn.map(str::as_bytes));
        match self.rule {
            MatchedRule::None => put(line, "-"),
            MatchedRule::Error => put(line, "-1"),
            MatchedRule::Priority(priority) => shown(line, Some(priority)),
        }
        put(line, &log_time(self.came_at));
        let actions = self.actions.join(",");
        quoted(line, Some(actions.as_bytes()).filter(|actions| !actions.is_empty()));
        quoted(line, self.redirect_url);
        // error_reason: of Lambda targets only.
        quoted(line, None);
        self.tried(line);
        self.classified(line);
        put(line, self.connection_id.unwrap_or("-"));
        quoted(line, self.rewritten_host);
        quoted(line, self.rewritten_target);
        quoted(
            line,
            match self.transform {
                Transform::None => None,
                Transform::Done => Some(b"TransformSuccess"),
                Transform::Failed => Some(b"TransformFailed"),
            },
        );
        shown(line, self.node);
    }

    /// `"GET http://example.com:80/path HTTP/1.1"`; `"- http://example.com:80- -"` for none.
    fn request(&self, line: &mut String) {
        line.push_str(" \"");
        escaped(line, or_dash(self.method));
        let _ = write!(line, " {}://", if self.scheme.is_empty() { "http" } else { self.scheme });
        escaped(line, or_dash(self.host));
        let _ = write!(line, ":{}", self.port);
        escaped(line, or_dash(self.target));
        line.push(' ');
        // AWS: a missing version is a dash and a space.
        line.push_str(if self.version.is_empty() { "- " } else { self.version });
        line.push('"');
    }

    fn tried(&self, line: &mut String) {
        let list = |texts: Vec<String>| if texts.is_empty() { None } else { Some(texts.join(" ")) };
        let addresses = list(self.targets.iter().map(|tried| tried.address.to_string()).collect());
        let status = |tried: &Tried| tried.status.map_or(String::from("-"), |status| status.to_string());
        let statuses = list(self.targets.iter().map(status).collect());
        quoted(line, addresses.as_deref().map(str::as_bytes));
        quoted(line, statuses.as_deref().map(str::as_bytes));
    }

    /// AWS: a compliant request has dashes in both fields.
    fn classified(&self, line: &mut String) {
        quoted(line, self.verdict.why.map(|why| why.class().name().as_bytes()));
        quoted(line, self.verdict.why.map(|why| why.name().as_bytes()));
    }
}

/// One connection of a client.
#[derive(Debug, Clone)]
pub struct ConnectionLine<'a> {
    pub at: Timestamp,
    pub client: SocketAddr,
    pub port: u16,
    pub tls_version: Option<&'a str>,
    pub tls_cipher: Option<&'a str>,
    /// `None`: no handshake, or none that ended.
    pub handshake_for: Option<Duration>,
    /// `Success`, or `Failed:` with AWS's name of the failure, as `Failed:UnmappedConnectionError`.
    pub status: &'a str,
    pub connection_id: &'a str,
    /// The name of the key exchange, `x25519`.
    pub key_exchange: Option<&'a str>,
}

impl ConnectionLine<'_> {
    /// The line without its end, appended to `line`. No client certificates: mutual TLS is refused.
    pub fn write(&self, line: &mut String) {
        line.push_str(&log_time(self.at));
        put(line, &self.client.ip().to_canonical().to_string());
        shown(line, Some(self.client.port()));
        shown(line, Some(self.port));
        put(line, self.tls_version.unwrap_or("-"));
        put(line, self.tls_cipher.unwrap_or("-"));
        match self.handshake_for {
            Some(time) => put(line, &format!("{:.3}", time.as_secs_f64())),
            None => put(line, "-"),
        }
        // The certificate's subject, validity and serial number.
        quoted(line, None);
        put(line, "-");
        put(line, "-");
        put(line, self.status);
        put(line, self.connection_id);
        put(line, self.key_exchange.unwrap_or("-"));
    }
}

/// One health check.
#[derive(Debug, Clone)]
pub struct HealthLine<'a> {
    /// `http`, `https`, `h2`, `grpc`, `grpcs`.
    pub kind: &'a str,
    pub at: Timestamp,
    pub target: SocketAddrV4,
    /// [`crate::TargetGroup::id`]; the line has the name in it.
    pub group: &'a str,
    pub took: Duration,
    /// HTTP status or gRPC code that came.
    pub code: Option<u16>,
    /// `None`: it passed.
    pub failure: Option<&'a Reason>,
}

impl HealthLine<'_> {
    /// The line without its end, appended to `line`.
    pub fn write(&self, line: &mut String) {
        line.push_str(self.kind);
        put(line, &log_time(self.at));
        put(line, &format!("{:.9}", self.took.as_secs_f64()));
        shown(line, Some(self.target));
        put(line, self.group.split('/').nth(1).unwrap_or(self.group));
        put(line, if self.failure.is_none() { "PASS" } else { "FAIL" });
        shown(line, self.code);
        put(line, self.failure.map_or("-", |failure| self.failure_name(failure)));
    }

    /// AWS: reason codes of health check logs, which are not those of `DescribeTargetHealth`.
    fn failure_name(&self, failure: &Reason) -> &'static str {
        match failure {
            Reason::Code(_) if self.kind.starts_with("grpc") => "GRPCUnexpectedStatus",
            Reason::Code(500..) => "TargetError",
            Reason::Code(_) => "ResponseCodeMismatch",
            Reason::Timeout => "RequestTimedOut",
            Reason::Failed => "ConnectionReset",
            Reason::Internal | Reason::Registering | Reason::FirstChecks => "InternalError",
        }
    }
}

fn put(line: &mut String, field: &str) {
    line.push(' ');
    line.push_str(field);
}

fn shown(line: &mut String, field: Option<impl std::fmt::Display>) {
    match field {
        Some(field) => {
            let _ = write!(line, " {field}");
        }
        None => put(line, "-"),
    }
}

fn seconds(line: &mut String, time: Option<Duration>) {
    match time {
        Some(time) => {
            let _ = write!(line, " {:.3}", time.as_secs_f64());
        }
        None => put(line, "-1"),
    }
}

fn quoted(line: &mut String, field: Option<&[u8]>) {
    line.push_str(" \"");
    escaped(line, field.unwrap_or(b"-"));
    line.push('"');
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

/// A client's bytes never end a field or a line: quotes, backslashes and what does not print are
/// written by number.
fn escaped(line: &mut String, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            0x20..=0x7e => line.push(char::from(*byte)),
            byte => {
                let _ = write!(line, "\\x{byte:02X}");
            }
        }
    }
}
