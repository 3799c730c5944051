//! The table of one load balancer: all that a proxy needs to serve it, and nothing to ask for later.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

/// One load balancer with its listeners and target groups. The newest replaces the older ones whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    pub arn: Arc<str>,
    /// Grows with every table of this balancer; an older one than was seen is refused.
    pub generation: u64,
    pub kind: Kind,
    /// `app/<name>/<16 hexadecimal digits>`: how logs and metrics name it.
    pub id: Arc<str>,
    /// Lower case.
    pub dns_name: Arc<str>,
    pub scheme: Scheme,
    pub place: Placed,
    pub attributes: Attributes,
    pub listeners: Vec<Listener>,
    /// By ARN. Only groups that one of the listeners uses.
    pub groups: BTreeMap<Arc<str>, Arc<TargetGroup>>,
}

/// Which data plane serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Application,
    Network,
    Classic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    InternetFacing,
    Internal,
}

/// Where a balancer stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    pub account: String,
    pub region: String,
    pub vpc: String,
    /// `172.31.0.0/16`.
    pub vpc_cidr: String,
    /// Whether the host reaches the VPC by a plain route.
    pub on_host: bool,
    pub nodes: Vec<Node>,
    /// An address of 127.0.0.0/8 on the host with the same listeners.
    pub alias: Option<Ipv4Addr>,
    pub security_groups: Vec<String>,
}

/// A balancer's address in one zone: its listeners are open there, and its requests to targets of
/// the zone come from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `us-east-1a`.
    pub zone: Arc<str>,
    pub subnet: String,
    pub eni: String,
    pub address: Ipv4Addr,
}

/// AWS: the load balancer attributes, with the types that they mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    /// `idle_timeout.timeout_seconds`, default 60 s.
    pub idle_timeout_for: Duration,
    /// `client_keep_alive.seconds`, default 3600 s.
    pub client_keep_alive_for: Duration,
    pub desync: Desync,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drops_invalid_headers: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserves_host: bool,
    /// `routing.http.xff_client_port.enabled`.
    pub forwards_client_port: bool,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ForwardedFor,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`.
    pub tells_tls: bool,
    /// `routing.http2.enabled`.
    pub http2: bool,
    /// `load_balancing.cross_zone.enabled`: always true for an application balancer; groups may turn it off.
    pub cross_zone: bool,
    /// Log group-like names under which access, connection and health check logs go; `None`: off.
    /// The bucket and prefix as the user gave them, `bucket/prefix`.
    pub access_log: Option<String>,
    pub connection_log: Option<String>,
    pub health_log: Option<String>,
}

impl Default for Attributes {
    fn default() -> Self {
        Attributes {
            idle_timeout_for: Duration::from_secs(60),
            client_keep_alive_for: Duration::from_secs(3600),
            desync: Desync::Defensive,
            drops_invalid_headers: false,
            preserves_host: false,
            forwards_client_port: false,
            forwarded_for: ForwardedFor::Append,
            tells_tls: false,
            http2: true,
            cross_zone: true,
            access_log: None,
            connection_log: None,
            health_log: None,
        }
    }
}

/// `routing.http.desync_mitigation_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desync {
    Monitor,
    Defensive,
    Strictest,
}

/// What becomes of `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardedFor {
    Append,
    Preserve,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub arn: Arc<str>,
    pub port: u16,
    pub protocol: Protocol,
    /// `ELBSecurityPolicy-…`; HTTPS only.
    pub ssl_policy: Option<Arc<str>>,
    /// ACM ARNs; the first is the default one.
    pub certificates: Vec<Arc<str>>,
    pub headers: HeaderRules,
    /// In the order of their priorities, without the default one.
    pub rules: Vec<Rule>,
    /// What is done where no rule fits.
    pub default: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    Http,
    Https,
}

/// AWS: the listener attributes that rename, insert and remove headers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeaderRules {
    /// From `X-Amzn-Tls-Version` and its like to the user's name for it; requests.
    pub renamed: BTreeMap<String, String>,
    /// Set in every answer: CORS, HSTS, CSP, X-Frame-Options and others by their names.
    pub set: BTreeMap<String, String>,
    /// `routing.http.response.server.enabled=false`.
    pub hides_server: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub arn: Arc<str>,
    /// 1 to 50000; 0 for the default rule.
    pub priority: u32,
    /// All must fit.
    pub conditions: Vec<Condition>,
    /// Before the request is forwarded.
    pub rewrites: Vec<Rewrite>,
    pub action: Action,
}

/// One condition; any of its values may fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    Host(Vec<Pattern>),
    Path(Vec<Pattern>),
    Header {
        name: String,
        values: Vec<Pattern>,
    },
    /// Exact, upper case.
    Method(Vec<String>),
    Query(Vec<QueryPair>),
    /// `10.0.0.0/8` or an IPv6 range, as text.
    SourceIp(Vec<String>),
}

/// What a text is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// `*` is any number of characters, `?` exactly one, `\` takes the next as it is.
    Wildcard(String),
    Regex(String),
}

/// Case does not matter, as with hosts and headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPair {
    /// `None`: any key.
    pub key: Option<String>,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    pub kind: RewriteKind,
    pub regex: String,
    /// With `$1` to `$9`.
    pub replace: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewriteKind {
    Host,
    /// Path and query together, as AWS has it.
    Url,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    Forward {
        groups: Vec<WeightedGroup>,
        /// Group stickiness: how long a client stays with the group it got.
        sticky_for: Option<Duration>,
    },
    Redirect(Redirect),
    /// An answer of the balancer's own. `status` 200 to 599.
    Fixed {
        status: u16,
        content_type: Option<String>,
        body: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedGroup {
    /// Its ARN, a key of [`Balancer::groups`].
    pub group: Arc<str>,
    /// 0 to 999.
    pub weight: u32,
}

/// With `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and `#{query}` in the texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub protocol: String,
    pub host: String,
    pub port: String,
    pub path: String,
    pub query: String,
    /// 301 or 302.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub arn: Arc<str>,
    /// `targetgroup/<name>/<16 hexadecimal digits>`.
    pub id: Arc<str>,
    pub kind: GroupKind,
    /// How requests go to targets.
    pub protocol: Protocol,
    pub version: Version,
    pub check: GroupCheck,
    pub algorithm: Algorithm,
    /// `load_balancing.algorithm.anomaly_mitigation`; weighted random only.
    pub mitigates_anomalies: bool,
    pub stickiness: Option<Stickiness>,
    /// `slow_start.duration_seconds`; zero: off.
    pub slow_start_for: Duration,
    pub deregistration_delay_for: Duration,
    /// Whether a node sends to targets of other zones.
    pub cross_zone: bool,
    pub healthy: MinimumHealthy,
    /// Requests wait for so long where no target has a verdict yet, or there is none: somebody makes
    /// targets once there are requests. Zero: they do not wait, as with AWS.
    #[serde(default)]
    pub held_for: Duration,
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupKind {
    Instance,
    Ip,
}

/// The protocol version that targets speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    Http1,
    Http2,
    Grpc,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupCheck {
    pub protocol: Protocol,
    /// `None`: the target's own.
    pub port: Option<u16>,
    /// Path, or the gRPC method.
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    pub healthy_after: u32,
    pub unhealthy_after: u32,
    pub matcher: Matcher,
}

/// Which codes pass, as inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matcher {
    Http(Vec<(u16, u16)>),
    Grpc(Vec<(u16, u16)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    RoundRobin,
    LeastOutstanding,
    WeightedRandom,
}

/// Stickiness to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stickiness {
    pub by: Affinity,
    pub lasts_for: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affinity {
    /// `AWSALB`.
    Balancer,
    /// The application's cookie by its name, followed with `AWSALBAPP-<n>`.
    Application(String),
}

/// `target_group_health.*`: below these the group counts as unhealthy (`dns_*`) or traffic goes to
/// all targets (`routing_*`). `None`: off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MinimumHealthy {
    pub dns_count: Option<u32>,
    pub dns_percent: Option<u32>,
    pub routing_count: Option<u32>,
    pub routing_percent: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What it was registered as: an instance id or an address.
    pub id: Arc<str>,
    pub port: u16,
    /// Where connections go, inside the balancer's VPC.
    pub address: Ipv4Addr,
    /// `None`: outside the VPC, or registered for all zones.
    pub zone: Option<Arc<str>>,
    pub registered_at: Timestamp,
    /// Deregistered: no new request, those under way may end until then.
    pub draining_until: Option<Timestamp>,
}

/// A server's certificate with its key, kept beside the tables because it changes apart from them.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub arn: Arc<str>,
    /// PEM: the certificate, then its chain.
    pub chain: String,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: Secret,
}
