//! Records as the API shows them.

use aws_elbv2 as aws;
use base::Tags;
use core_routing::{Condition, GroupKind, Pattern, RewriteKind, Scheme, Version};
use store::Snapshot;

use crate::behaviour::zone_id;
use crate::state::{Action, Balancer, Does, Group, Listener, Rule, Weighted};
use crate::table::{protocol, users};

pub fn text(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

fn number(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

pub fn tags(tags: &Tags) -> Vec<aws::Tag> {
    tags.iter().map(|(key, value)| aws::Tag { key: key.clone(), value: Some(value.clone()) }).collect()
}

pub fn balancer(balancer: &Balancer) -> aws::LoadBalancer {
    let code = if balancer.is_active { "active" } else { "provisioning" };
    aws::LoadBalancer {
        load_balancer_arn: text(balancer.at.arn()),
        dns_name: Some(balancer.dns_name()),
        canonical_hosted_zone_id: Some(zone_id::of(balancer.at.region.as_str())),
        created_time: Some(balancer.created_at),
        load_balancer_name: text(&balancer.at.name),
        scheme: text(match balancer.scheme {
            Scheme::InternetFacing => "internet-facing",
            Scheme::Internal => "internal",
        }),
        vpc_id: text(&balancer.vpc),
        state: Some(aws::LoadBalancerState { code: text(code), reason: None }),
        r#type: text("application"),
        availability_zones: Some(zones(balancer)),
        security_groups: Some(balancer.security_groups.clone()),
        ip_address_type: text("ipv4"),
        ..Default::default()
    }
}

pub fn zones(balancer: &Balancer) -> Vec<aws::AvailabilityZone> {
    let zone = |node: &core_routing::Node| aws::AvailabilityZone {
        zone_name: text(&node.zone),
        subnet_id: text(&node.subnet),
        load_balancer_addresses: Some(Vec::new()),
        ..Default::default()
    };
    balancer.nodes.iter().map(zone).collect()
}

pub fn group(records: &Snapshot, group: &Group) -> aws::TargetGroup {
    let check = &group.check;
    let matcher = match group.version {
        Version::Grpc => aws::Matcher { grpc_code: text(&check.matcher), http_code: None },
        Version::Http1 | Version::Http2 => aws::Matcher { http_code: text(&check.matcher), grpc_code: None },
    };
    aws::TargetGroup {
        target_group_arn: text(group.at.arn()),
        target_group_name: text(&group.at.name),
        protocol: text(protocol(group.protocol)),
        port: Some(i32::from(group.port)),
        vpc_id: text(&group.vpc),
        health_check_protocol: text(protocol(check.protocol)),
        health_check_port: Some(check_port(check.port)),
        health_check_enabled: Some(true),
        health_check_interval_seconds: number(check.interval_seconds),
        health_check_timeout_seconds: number(check.timeout_seconds),
        healthy_threshold_count: number(check.healthy_after),
        unhealthy_threshold_count: number(check.unhealthy_after),
        health_check_path: text(&check.path),
        matcher: Some(matcher),
        load_balancer_arns: Some(
            users(records, &group.at).iter().map(|balancer| balancer.arn().to_string()).collect(),
        ),
        target_type: text(kind(group.kind)),
        protocol_version: text(match group.version {
            Version::Http1 => "HTTP1",
            Version::Http2 => "HTTP2",
            Version::Grpc => "GRPC",
        }),
        ip_address_type: text("ipv4"),
        target_control_port: None,
    }
}

pub fn kind(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Instance => "instance",
        GroupKind::Ip => "ip",
    }
}

fn check_port(port: Option<u16>) -> String {
    port.map_or_else(|| String::from("traffic-port"), |port| port.to_string())
}

/// `default` is the listener's default rule.
pub fn listener(listener: &Listener, default: Option<&Rule>) -> aws::Listener {
    // AWS: the list of a listener shows the default certificate alone.
    let certificate = listener
        .certificates
        .first()
        .map(|arn| aws::Certificate { certificate_arn: text(arn), is_default: None });
    aws::Listener {
        listener_arn: text(listener.at.arn()),
        load_balancer_arn: text(listener.at.balancer.arn()),
        port: Some(i32::from(listener.port)),
        protocol: text(protocol(listener.protocol)),
        certificates: certificate.map(|certificate| vec![certificate]),
        ssl_policy: listener.ssl_policy.clone(),
        default_actions: default.map(|rule| vec![action(&rule.action)]),
        mutual_authentication: listener
            .is_secure()
            .then(|| aws::MutualAuthenticationAttributes { mode: text("off"), ..Default::default() }),
        ..Default::default()
    }
}

pub fn rule(rule: &Rule) -> aws::Rule {
    aws::Rule {
        rule_arn: text(rule.at.arn()),
        priority: if rule.is_default() { text("default") } else { text(rule.priority) },
        conditions: Some(rule.conditions.iter().map(condition).collect()),
        actions: Some(vec![action(&rule.action)]),
        is_default: Some(rule.is_default()),
        transforms: Some(transforms(rule)),
    }
}

fn transforms(rule: &Rule) -> Vec<aws::RuleTransform> {
    let transform = |rewrite: &core_routing::Rewrite| {
        let rewrites =
            Some(vec![aws::RewriteConfig { regex: rewrite.regex.clone(), replace: rewrite.replace.clone() }]);
        match rewrite.kind {
            RewriteKind::Host => aws::RuleTransform {
                r#type: String::from("host-header-rewrite"),
                host_header_rewrite_config: Some(aws::HostHeaderRewriteConfig { rewrites }),
                url_rewrite_config: None,
            },
            RewriteKind::Url => aws::RuleTransform {
                r#type: String::from("url-rewrite"),
                host_header_rewrite_config: None,
                url_rewrite_config: Some(aws::UrlRewriteConfig { rewrites }),
            },
        }
    };
    rule.rewrites.iter().map(transform).collect()
}

/// AWS: an action that forwards to one group names it twice.
pub fn action(action: &Action) -> aws::Action {
    let shape = aws::Action { order: action.order, ..Default::default() };
    match &action.does {
        Does::Forward { groups, is_sticky, sticky_for_seconds } => {
            let tuple = |one: &Weighted| aws::TargetGroupTuple {
                target_group_arn: text(one.group.arn()),
                weight: number(one.weight),
            };
            aws::Action {
                r#type: String::from("forward"),
                target_group_arn: match groups.as_slice() {
                    [only] => text(only.group.arn()),
                    _ => None,
                },
                forward_config: Some(aws::ForwardActionConfig {
                    target_groups: Some(groups.iter().map(tuple).collect()),
                    target_group_stickiness_config: Some(aws::TargetGroupStickinessConfig {
                        enabled: Some(*is_sticky),
                        duration_seconds: sticky_for_seconds.and_then(number),
                    }),
                }),
                ..shape
            }
        }
        Does::Redirect(redirect) => aws::Action {
            r#type: String::from("redirect"),
            redirect_config: Some(aws::RedirectActionConfig {
                protocol: text(&redirect.protocol),
                port: text(&redirect.port),
                host: text(&redirect.host),
                path: text(&redirect.path),
                query: text(&redirect.query),
                status_code: format!("HTTP_{}", redirect.status),
            }),
            ..shape
        },
        Does::Fixed { status, content_type, body } => aws::Action {
            r#type: String::from("fixed-response"),
            fixed_response_config: Some(aws::FixedResponseActionConfig {
                message_body: body.clone(),
                status_code: status.to_string(),
                content_type: content_type.clone(),
            }),
            ..shape
        },
    }
}

/// Wildcard values and regular expressions apart.
fn split(patterns: &[Pattern]) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let (mut values, mut regexes) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern {
            Pattern::Wildcard(text) => values.push(text.clone()),
            Pattern::Regex(text) => regexes.push(text.clone()),
        }
    }
    (Some(values).filter(|list| !list.is_empty()), Some(regexes).filter(|list| !list.is_empty()))
}

/// AWS: hosts and paths are shown in both forms, whichever they came in.
fn condition(condition: &Condition) -> aws::RuleCondition {
    let of = |field: &str| aws::RuleCondition { field: text(field), ..Default::default() };
    match condition {
        Condition::Host(patterns) => {
            let (values, regex_values) = split(patterns);
            aws::RuleCondition {
                values: values.clone(),
                regex_values: regex_values.clone(),
                host_header_config: Some(aws::HostHeaderConditionConfig { values, regex_values }),
                ..of("host-header")
            }
        }
        Condition::Path(patterns) => {
            let (values, regex_values) = split(patterns);
            aws::RuleCondition {
                values: values.clone(),
                regex_values: regex_values.clone(),
                path_pattern_config: Some(aws::PathPatternConditionConfig { values, regex_values }),
                ..of("path-pattern")
            }
        }
        Condition::Header { name, values } => {
            let (values, regex_values) = split(values);
            let http_header_name = text(name);
            aws::RuleCondition {
                http_header_config: Some(aws::HttpHeaderConditionConfig {
                    http_header_name,
                    values,
                    regex_values,
                }),
                ..of("http-header")
            }
        }
        Condition::Method(values) => aws::RuleCondition {
            http_request_method_config: Some(aws::HttpRequestMethodConditionConfig {
                values: Some(values.clone()),
            }),
            ..of("http-request-method")
        },
        Condition::Query(pairs) => {
            let pair = |pair: &core_routing::QueryPair| aws::QueryStringKeyValuePair {
                key: pair.key.clone(),
                value: text(&pair.value),
            };
            let values = Some(pairs.iter().map(pair).collect());
            aws::RuleCondition {
                query_string_config: Some(aws::QueryStringConditionConfig { values }),
                ..of("query-string")
            }
        }
        Condition::SourceIp(values) => aws::RuleCondition {
            source_ip_config: Some(aws::SourceIpConditionConfig {
                values: Some(values.clone()),
                ip_address_type: None,
            }),
            ..of("source-ip")
        },
    }
}
