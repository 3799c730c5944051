//! What an account may have and choose from: DescribeAccountLimits, DescribeSSLPolicies,
//! DescribeCapacityReservation.

use aws_elbv2 as aws;
use base::Fault;
use core_routing::{SSL_POLICIES, SslPolicy};
use service::View;

use super::find;
use crate::behaviour::page::Page;
use crate::convert::text;

/// AWS: a new account's, but for targets, of which there may be ten times as many.
const LIMITS: &[(&str, &str)] = &[
    ("application-load-balancers", "50"),
    ("application-load-balancers-per-target-group", "1"),
    ("certificates-per-application-load-balancer", "25"),
    ("condition-values-per-alb-rule", "5"),
    ("condition-wildcards-per-alb-rule", "6"),
    ("listeners-per-application-load-balancer", "50"),
    ("rules-per-application-load-balancer", "100"),
    ("target-groups", "3000"),
    ("target-groups-per-action-on-application-load-balancer", "5"),
    ("target-groups-per-application-load-balancer", "100"),
    ("targets-per-application-load-balancer", "10000"),
];

pub fn limits(
    _view: &View<'_>,
    request: aws::DescribeAccountLimitsInput,
) -> Result<aws::DescribeAccountLimitsOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let shown = LIMITS
        .iter()
        .map(|(name, most)| (String::from(*name), aws::Limit { name: text(name), max: text(most) }));
    let (limits, next_marker) = page.take(shown);
    Ok(aws::DescribeAccountLimitsOutput { limits: Some(limits), next_marker })
}

pub fn policies(
    _view: &View<'_>,
    request: aws::DescribeSSLPoliciesInput,
) -> Result<aws::DescribeSSLPoliciesOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let names = request.names.unwrap_or_default();
    let is_known = |name: &String| SSL_POLICIES.iter().any(|policy| policy.name == name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        return Err(Fault::caller("SSLPolicyNotFound", format_args!("SSL policy '{name}' not found")));
    }
    let is_asked = |policy: &&SslPolicy| names.is_empty() || names.iter().any(|name| name == policy.name);
    // AWS: gateway load balancers have none.
    let has_any = request.load_balancer_type.as_deref() != Some("gateway");
    let found = SSL_POLICIES.iter().enumerate().filter(|(_, policy)| has_any && is_asked(policy));
    let shown = found.map(|(nth, policy)| (format!("{nth:05}"), shape(policy)));
    let (ssl_policies, next_marker) = page.take(shown);
    Ok(aws::DescribeSSLPoliciesOutput { ssl_policies: Some(ssl_policies), next_marker })
}

fn shape(policy: &SslPolicy) -> aws::SslPolicy {
    let ciphers = (1..).zip(policy.ciphers());
    let ciphers = ciphers.map(|(nth, name)| aws::Cipher { name: text(name), priority: Some(nth) });
    aws::SslPolicy {
        name: text(policy.name),
        ssl_protocols: Some(policy.protocols().map(|version| version.name().to_owned()).collect()),
        ciphers: Some(ciphers.collect()),
        supported_load_balancer_types: Some(vec!["application".into(), "network".into()]),
    }
}

/// AWS: what a balancer without a reservation answers. Reservations cannot be made here.
pub fn capacity(
    view: &View<'_>,
    request: aws::DescribeCapacityReservationInput,
) -> Result<aws::DescribeCapacityReservationOutput, Fault> {
    find::balancer(view, view.caller, &request.load_balancer_arn)?;
    Ok(aws::DescribeCapacityReservationOutput::default())
}
