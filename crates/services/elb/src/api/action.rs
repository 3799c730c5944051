//! Actions of rules and listeners.

use std::collections::BTreeSet;

use aws_elbv2 as aws;
use base::Fault;
use core_routing::{Protocol, Redirect, Version};
use service::Tx;

use super::find;
use crate::faults;
use crate::state::{Action, Balancer, Does, Group, Rule, Weighted};
use crate::table::{protocol, users};

/// AWS: groups of one action, and groups of one balancer.
const GROUPS: usize = 5;
const GROUPS_OF_BALANCER: usize = 100;
const MOST_WEIGHT: u32 = 999;
const STICKY_SECONDS: std::ops::RangeInclusive<u32> = 1..=604_800;

/// Where an action stands.
pub struct Place<'a> {
    pub balancer: &'a Balancer,
    pub protocol: Protocol,
    pub port: u16,
}

/// The one action that `asked` comes to: what authenticates is not there yet, so there is but one.
pub fn of(tx: &Tx<'_>, place: &Place<'_>, asked: Vec<aws::Action>) -> Result<Action, Fault> {
    for action in &asked {
        if !matches!(action.r#type.as_str(), "forward" | "redirect" | "fixed-response") {
            return Err(faults::refuse(&format!("Actions.Type={}", action.r#type)));
        }
    }
    let orders: BTreeSet<_> = asked.iter().map(|action| action.order).collect();
    if orders.len() < asked.len() {
        return Err(faults::invalid("Actions must have distinct orders"));
    }
    if asked.len() > 1 {
        return Err(faults::action(
            "A rule must have exactly one of these actions: forward, redirect, fixed-response",
        ));
    }
    let asked = asked.into_iter().next().ok_or_else(|| faults::invalid("An action must be specified"))?;
    check_members(&asked)?;
    let does = match asked.r#type.as_str() {
        "forward" => forward(tx, place, asked.target_group_arn, asked.forward_config)?,
        "redirect" => {
            let config = asked.redirect_config;
            let config =
                config.ok_or_else(|| faults::invalid("A redirect action must have a RedirectConfig"))?;
            Does::Redirect(redirect(place, config)?)
        }
        _ => {
            let config = asked.fixed_response_config;
            let config = config
                .ok_or_else(|| faults::invalid("A fixed-response action must have a FixedResponseConfig"))?;
            fixed(config)?
        }
    };
    Ok(Action { order: asked.order, does })
}

/// AWS: an action has the members of its type alone.
fn check_members(asked: &aws::Action) -> Result<(), Fault> {
    let kind = asked.r#type.as_str();
    let has = [
        ("TargetGroupArn", asked.target_group_arn.is_some(), "forward"),
        ("ForwardConfig", asked.forward_config.is_some(), "forward"),
        ("RedirectConfig", asked.redirect_config.is_some(), "redirect"),
        ("FixedResponseConfig", asked.fixed_response_config.is_some(), "fixed-response"),
        ("AuthenticateOidcConfig", asked.authenticate_oidc_config.is_some(), "authenticate-oidc"),
        ("AuthenticateCognitoConfig", asked.authenticate_cognito_config.is_some(), "authenticate-cognito"),
        ("JwtValidationConfig", asked.jwt_validation_config.is_some(), "jwt-validation"),
    ];
    match has.into_iter().find(|(_, is_there, of)| *is_there && *of != kind) {
        Some((member, _, _)) => {
            Err(faults::action(format_args!("'{member}' cannot be specified with action type '{kind}'")))
        }
        None => Ok(()),
    }
}

fn forward(
    tx: &Tx<'_>,
    place: &Place<'_>,
    arn: Option<String>,
    config: Option<aws::ForwardActionConfig>,
) -> Result<Does, Fault> {
    let config = config.unwrap_or_default();
    let mut tuples = config.target_groups.unwrap_or_default();
    match (&arn, tuples.as_slice()) {
        (None, []) => return Err(faults::invalid("A target group ARN must be specified")),
        (Some(arn), []) => {
            tuples.push(aws::TargetGroupTuple { target_group_arn: Some(arn.clone()), weight: None });
        }
        (Some(arn), [only]) if only.target_group_arn.as_ref() == Some(arn) => {}
        (Some(_), _) => {
            return Err(faults::invalid(
                "The target group ARN must be the only one in ForwardConfig where both are specified",
            ));
        }
        (None, _) => {}
    }
    if tuples.len() > GROUPS {
        return Err(faults::invalid(format_args!(
            "A forward action can have at most '{GROUPS}' target groups"
        )));
    }
    let mut groups: Vec<Weighted> = Vec::new();
    for tuple in tuples {
        let arn = tuple.target_group_arn.unwrap_or_default();
        let group = find::group(tx, tx.caller, &arn)?;
        check_group(tx, place, &group)?;
        if groups.iter().any(|one| one.group == group.at) {
            return Err(faults::invalid(format_args!("Target group '{arn}' is specified more than once")));
        }
        let weight = u32::try_from(tuple.weight.unwrap_or(1)).ok().filter(|weight| *weight <= MOST_WEIGHT);
        let weight = weight.ok_or_else(|| {
            faults::invalid(format_args!(
                "The weight of target group '{arn}' must be from 0 to {MOST_WEIGHT}"
            ))
        })?;
        groups.push(Weighted { group: group.at.clone(), weight });
    }
    check_count(tx, place, &groups)?;
    let sticky = config.target_group_stickiness_config.unwrap_or_default();
    let is_sticky = sticky.enabled == Some(true);
    let sticky_for_seconds = sticky.duration_seconds.and_then(|asked| u32::try_from(asked).ok());
    let is_range = sticky_for_seconds.is_none_or(|asked| STICKY_SECONDS.contains(&asked));
    if !is_range || sticky.duration_seconds.is_some() != sticky_for_seconds.is_some() {
        return Err(faults::invalid("Target group stickiness duration must be from 1 to 604800 seconds"));
    }
    if is_sticky && sticky_for_seconds.is_none() {
        return Err(faults::invalid("Target group stickiness duration must be specified when it is enabled"));
    }
    Ok(Does::Forward { groups, is_sticky, sticky_for_seconds })
}

/// Whether a rule's groups may stay where its listener has changed.
pub fn check_groups(tx: &Tx<'_>, place: &Place<'_>, rule: &Rule) -> Result<(), Fault> {
    let groups = rule.groups().filter_map(|at| tx.get::<Group>(&at.key()));
    groups.into_iter().try_for_each(|group| check_group(tx, place, &group))
}

fn check_group(tx: &Tx<'_>, place: &Place<'_>, group: &Group) -> Result<(), Fault> {
    let arn = group.at.arn();
    if group.vpc != place.balancer.vpc {
        return Err(faults::configuration(format_args!(
            "Target group '{arn}' is not in the VPC '{}' of the load balancer",
            place.balancer.vpc
        )));
    }
    // AWS: HTTP/2 towards targets asks for HTTPS towards clients.
    let version = match group.version {
        Version::Http1 => None,
        Version::Http2 => Some("HTTP2"),
        Version::Grpc => Some("GRPC"),
    };
    if let Some(version) = version.filter(|_| place.protocol == Protocol::Http) {
        return Err(faults::configuration(format_args!(
            "Listener protocol '{}' is not supported with a target group with the protocol-version '{version}'",
            protocol(place.protocol)
        )));
    }
    if users(tx, &group.at).iter().any(|user| *user != place.balancer.at) {
        return Err(Fault::caller(
            "TargetGroupAssociationLimit",
            format_args!(
                "The following target groups cannot be associated with more than one load balancer: {arn}"
            ),
        ));
    }
    Ok(())
}

fn check_count(tx: &Tx<'_>, place: &Place<'_>, groups: &[Weighted]) -> Result<(), Fault> {
    let rules = tx.scan::<Rule>(&place.balancer.at.key());
    let mut all: BTreeSet<_> = rules.flat_map(|rule| rule.groups().cloned().collect::<Vec<_>>()).collect();
    all.extend(groups.iter().map(|one| one.group.clone()));
    if all.len() > GROUPS_OF_BALANCER {
        return Err(Fault::caller(
            "TooManyUniqueTargetGroupsPerLoadBalancer",
            format_args!(
                "You have reached the maximum number of unique target groups that you can associate with a load \
                 balancer of type 'application': [{GROUPS_OF_BALANCER}]"
            ),
        ));
    }
    Ok(())
}

/// AWS: the words that stand for a part of the request.
const WORDS: [&str; 5] = ["#{protocol}", "#{host}", "#{port}", "#{path}", "#{query}"];

fn redirect(place: &Place<'_>, config: aws::RedirectActionConfig) -> Result<Redirect, Fault> {
    let or = |text: Option<String>, word: &str| text.unwrap_or_else(|| String::from(word));
    let redirect = Redirect {
        protocol: or(config.protocol, "#{protocol}"),
        host: or(config.host, "#{host}"),
        port: or(config.port, "#{port}"),
        path: or(config.path, "/#{path}"),
        query: or(config.query, "#{query}"),
        status: if config.status_code == "HTTP_301" { 301 } else { 302 },
    };
    let is_port = redirect.port == "#{port}"
        || redirect.port.parse::<u16>().is_ok_and(|port| port > 0)
            && redirect.port.bytes().all(|byte| byte.is_ascii_digit());
    if !is_port {
        return Err(faults::invalid(format_args!(
            "The redirect port '{}' must be '#{{port}}' or a number from 1 to 65535",
            redirect.port
        )));
    }
    if !redirect.path.starts_with('/') {
        return Err(faults::invalid(format_args!(
            "The redirect path '{}' must begin with a '/' character",
            redirect.path
        )));
    }
    for (name, text, words) in [
        ("host", &redirect.host, &WORDS[1..2]),
        ("path", &redirect.path, &WORDS[1..4]),
        ("query", &redirect.query, &WORDS[..]),
    ] {
        check_words(name, text, words)?;
    }
    if place.protocol == Protocol::Https && redirect.protocol == "HTTP" {
        return Err(faults::action("You cannot redirect HTTPS to HTTP"));
    }
    if leads_to_itself(place, &redirect) {
        return Err(faults::action("The redirect configuration is not valid because it creates a loop."));
    }
    Ok(redirect)
}

fn check_words(name: &str, text: &str, words: &[&str]) -> Result<(), Fault> {
    let mut rest = text;
    while let Some(at) = rest.find("#{") {
        rest = &rest[at..];
        let Some(word) = words.iter().find(|word| rest.starts_with(**word)) else {
            return Err(faults::invalid(format_args!(
                "The redirect {name} '{text}' can only contain the keywords {}",
                words.join(", ")
            )));
        };
        rest = &rest[word.len()..];
    }
    Ok(())
}

/// AWS: at least one of protocol, port, host and path must change.
fn leads_to_itself(place: &Place<'_>, redirect: &Redirect) -> bool {
    let is_same_protocol =
        redirect.protocol == "#{protocol}" || redirect.protocol == protocol(place.protocol);
    let is_same_port = redirect.port == "#{port}" || redirect.port == place.port.to_string();
    is_same_protocol && is_same_port && redirect.host == "#{host}" && redirect.path == "/#{path}"
}

/// AWS: the types that a fixed answer may have.
const CONTENT_TYPES: [&str; 5] =
    ["text/html", "application/json", "application/javascript", "text/css", "text/plain"];

fn fixed(config: aws::FixedResponseActionConfig) -> Result<Does, Fault> {
    let content_type = config.content_type.filter(|text| !text.is_empty());
    if content_type.as_deref().is_some_and(|asked| !CONTENT_TYPES.contains(&asked)) {
        let types = CONTENT_TYPES.map(|one| format!("'{one}'")).join(", ");
        return Err(faults::action(format_args!("The ContentType must be one of:{types}")));
    }
    let status = config.status_code.parse().map_err(|_| {
        faults::invalid(format_args!("The status code '{}' is not valid", config.status_code))
    })?;
    Ok(Does::Fixed { status, content_type, body: config.message_body })
}
