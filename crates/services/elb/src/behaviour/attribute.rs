//! Attributes of load balancers, target groups and listeners: keys, defaults, and what they take.

use std::collections::BTreeMap;

use base::Fault;

use crate::faults;

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// `true` or `false`.
    Flag,
    OneOf(&'static [&'static str]),
    /// Inclusive.
    Number(u32, u32),
    /// Zero, or within.
    ZeroOr(u32, u32),
    /// `off`, or within.
    OffOr(u32, u32),
    /// At most so many characters.
    Text(usize),
    /// A header's name.
    HeaderName,
    /// A header's value.
    HeaderValue,
    /// AWS has more; Boxship acts on the default alone.
    Only,
}

/// One key of a kind of resource.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    pub key: &'static str,
    pub default: &'static str,
    pub takes: Takes,
}

const fn attribute(key: &'static str, default: &'static str, takes: Takes) -> Attribute {
    Attribute { key, default, takes }
}

use Takes::{Flag, HeaderName, HeaderValue, Number, OffOr, OneOf, Only, Text, ZeroOr};

/// AWS: of an application load balancer, in the order of its answers.
pub const BALANCER: &[Attribute] = &[
    attribute("access_logs.s3.enabled", "false", Flag),
    attribute("access_logs.s3.bucket", "", Text(63)),
    attribute("access_logs.s3.prefix", "", Text(512)),
    attribute("connection_logs.s3.enabled", "false", Flag),
    attribute("connection_logs.s3.bucket", "", Text(63)),
    attribute("connection_logs.s3.prefix", "", Text(512)),
    attribute("health_check_logs.s3.enabled", "false", Flag),
    attribute("health_check_logs.s3.bucket", "", Text(63)),
    attribute("health_check_logs.s3.prefix", "", Text(512)),
    attribute("idle_timeout.timeout_seconds", "60", Number(1, 4000)),
    attribute("deletion_protection.enabled", "false", Flag),
    attribute("routing.http2.enabled", "true", Flag),
    attribute("routing.http.drop_invalid_header_fields.enabled", "false", Flag),
    attribute("routing.http.xff_client_port.enabled", "false", Flag),
    attribute("routing.http.preserve_host_header.enabled", "false", Flag),
    attribute("routing.http.xff_header_processing.mode", "append", OneOf(&["append", "preserve", "remove"])),
    attribute("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Flag),
    attribute(
        "routing.http.desync_mitigation_mode",
        "defensive",
        OneOf(&["monitor", "defensive", "strictest"]),
    ),
    attribute("load_balancing.cross_zone.enabled", "true", Flag),
    attribute("client_keep_alive.seconds", "3600", Number(60, 604_800)),
    attribute("waf.fail_open.enabled", "false", Only),
    attribute("zonal_shift.config.enabled", "false", Only),
];

/// AWS: of a group of instances or addresses behind an application load balancer.
pub const GROUP: &[Attribute] = &[
    attribute("deregistration_delay.timeout_seconds", "300", Number(0, 3600)),
    attribute("stickiness.enabled", "false", Flag),
    attribute("stickiness.type", "lb_cookie", OneOf(&["lb_cookie", "app_cookie"])),
    attribute("stickiness.lb_cookie.duration_seconds", "86400", Number(1, 604_800)),
    attribute("stickiness.app_cookie.cookie_name", "", Text(256)),
    attribute("stickiness.app_cookie.duration_seconds", "86400", Number(1, 604_800)),
    attribute("slow_start.duration_seconds", "0", ZeroOr(30, 900)),
    attribute(
        "load_balancing.algorithm.type",
        "round_robin",
        OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    attribute("load_balancing.algorithm.anomaly_mitigation", "off", OneOf(&["on", "off"])),
    attribute(
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.count", "1", OffOr(1, 10_000)),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", OffOr(1, 100)),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        Number(1, 10_000),
    ),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        OffOr(1, 100),
    ),
];

/// AWS: what a listener of HTTPS has besides [`LISTENER`]: names of headers in requests.
pub const SECURE_LISTENER: &[Attribute] = &[
    attribute("routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_mtls_clientcert_issuer.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_mtls_clientcert_subject.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_mtls_clientcert_validity.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_mtls_clientcert_leaf.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_mtls_clientcert.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_tls_version.header_name", "", HeaderName),
    attribute("routing.http.request.x_amzn_tls_cipher_suite.header_name", "", HeaderName),
];

/// AWS: of any listener of an application load balancer: headers in answers.
pub const LISTENER: &[Attribute] = &[
    attribute("routing.http.response.server.enabled", "true", Flag),
    attribute("routing.http.response.strict_transport_security.header_value", "", HeaderValue),
    attribute("routing.http.response.access_control_allow_origin.header_value", "", HeaderValue),
    attribute("routing.http.response.access_control_allow_methods.header_value", "", HeaderValue),
    attribute("routing.http.response.access_control_allow_headers.header_value", "", HeaderValue),
    attribute(
        "routing.http.response.access_control_allow_credentials.header_value",
        "",
        OneOf(&["", "true"]),
    ),
    attribute("routing.http.response.access_control_expose_headers.header_value", "", HeaderValue),
    attribute("routing.http.response.access_control_max_age.header_value", "", HeaderValue),
    attribute("routing.http.response.content_security_policy.header_value", "", HeaderValue),
    attribute("routing.http.response.x_content_type_options.header_value", "", OneOf(&["", "nosniff"])),
    attribute("routing.http.response.x_frame_options.header_value", "", HeaderValue),
];

/// Keys that AWS has for other kinds of load balancers or groups.
const ELSEWHERE: &[&str] = &[
    "dns_record.client_routing_policy",
    "secondary_ips.auto_assigned.per_subnet",
    "ipv6.deny_all_igw_traffic",
    "lambda.multi_value_headers.enabled",
    "deregistration_delay.connection_termination.enabled",
    "preserve_client_ip.enabled",
    "proxy_protocol_v2.enabled",
    "target_health_state.unhealthy.connection_termination.enabled",
    "target_health_state.unhealthy.draining_interval_seconds",
    "target_failover.on_deregistration",
    "target_failover.on_unhealthy",
    "send_tcp_reset.on_unhealthy.enabled",
    "send_tcp_reset.on_deregistration.enabled",
    "send_tcp_reset.on_idle_timeout.enabled",
    "tcp.idle_timeout.seconds",
];

/// Whose attributes: how texts name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Balancer,
    Group,
    Listener,
}

impl Owner {
    pub fn noun(self) -> &'static str {
        match self {
            Owner::Balancer => "Load balancer",
            Owner::Group => "Target group",
            Owner::Listener => "Listener",
        }
    }
}

/// Sets what is given over what was set, each value checked alone.
pub fn set(
    owner: Owner,
    known: &[&[Attribute]],
    before: &BTreeMap<String, String>,
    given: impl Iterator<Item = (Option<String>, Option<String>)>,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut after = before.clone();
    let mut seen = Vec::new();
    for (key, value) in given {
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| faults::no_attribute_key(owner))?;
        let value = value.unwrap_or_default();
        let Some(attribute) = known.iter().copied().flatten().find(|known| known.key == key) else {
            let is_elsewhere = ELSEWHERE.contains(&key.as_str())
                || SECURE_LISTENER.iter().any(|other| owner == Owner::Listener && other.key == key);
            return Err(faults::unknown_attribute(owner, &key, is_elsewhere));
        };
        if seen.contains(&attribute.key) {
            return Err(faults::attribute_twice(owner, &key));
        }
        seen.push(attribute.key);
        check(owner, attribute, &value)?;
        after.insert(key, value);
    }
    Ok(after)
}

/// What is set, or the default.
pub fn get<'a>(known: &[Attribute], set: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    let default = || known.iter().find(|known| known.key == key).map_or("", |known| known.default);
    set.get(key).map_or_else(default, String::as_str)
}

fn check(owner: Owner, attribute: &Attribute, value: &str) -> Result<(), Fault> {
    let key = attribute.key;
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let is_within = |from: u32, to: u32| {
        is_number && value.parse::<u32>().is_ok_and(|value| (from..=to).contains(&value))
    };
    let wrong = |expected: String| Err(faults::attribute_value(owner, key, value, &expected));
    match attribute.takes {
        Flag if !matches!(value, "true" | "false") => wrong(String::from("'true' or 'false'")),
        OneOf(values) if !values.contains(&value) => wrong(format!("one of [{}]", values.join(", "))),
        Number(from, to) if !is_within(from, to) => wrong(format!("a number from {from} to {to}")),
        ZeroOr(from, to) if value != "0" && !is_within(from, to) => {
            wrong(format!("0, or a number from {from} to {to}"))
        }
        OffOr(from, to) if value != "off" && !is_within(from, to) => {
            wrong(format!("'off', or a number from {from} to {to}"))
        }
        Text(most) if value.len() > most => wrong(format!("at most {most} characters")),
        HeaderName if !is_header_name(value) => {
            wrong(String::from("a header name of at most 40 characters, or nothing"))
        }
        HeaderValue if !is_header_value(value) => {
            wrong(String::from("a header value of at most 1024 printable characters, or nothing"))
        }
        Only if !matches!(value, "true" | "false") => wrong(String::from("'true' or 'false'")),
        Only if value != attribute.default => Err(faults::refuse(&format!("{key}={value}"))),
        _ => Ok(()),
    }
}

fn is_header_name(value: &str) -> bool {
    value.len() <= 40 && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_header_value(value: &str) -> bool {
    value.len() <= 1024 && value.bytes().all(|b| (0x20..0x7f).contains(&b))
}
