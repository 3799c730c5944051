//! Attributes of load balancers, target groups and listeners: Describe… and Modify… of each.

use std::collections::BTreeMap;

use aws_elbv2 as aws;
use base::Fault;
use service::{Tx, View};

use super::find;
use crate::behaviour::attribute::{self, Attribute, BALANCER, GROUP, LISTENER, Owner, SECURE_LISTENER};
use crate::faults;
use crate::state::{Balancer, Group, Listener};

type Set = BTreeMap<String, String>;

/// Every key with what holds.
fn all<'a>(
    known: &'a [&'a [Attribute]],
    set: &'a Set,
) -> impl Iterator<Item = (Option<String>, Option<String>)> + 'a {
    let all = known.iter().copied().flatten();
    all.map(|one| {
        let value = set.get(one.key).map_or(one.default, String::as_str);
        (Some(one.key.to_owned()), Some(value.to_owned()))
    })
}

fn some(given: &[impl Sized]) -> Result<(), Fault> {
    if given.is_empty() { Err(faults::invalid("At least one attribute must be specified")) } else { Ok(()) }
}

pub fn describe_balancer(
    view: &View<'_>,
    request: aws::DescribeLoadBalancerAttributesInput,
) -> Result<aws::DescribeLoadBalancerAttributesOutput, Fault> {
    let found = find::balancer(view, view.caller, &request.load_balancer_arn)?;
    let attributes = balancer_shapes(&found.attributes);
    Ok(aws::DescribeLoadBalancerAttributesOutput { attributes: Some(attributes) })
}

fn balancer_shapes(set: &Set) -> Vec<aws::LoadBalancerAttribute> {
    all(&[BALANCER], set).map(|(key, value)| aws::LoadBalancerAttribute { key, value }).collect()
}

pub fn modify_balancer(
    tx: &mut Tx<'_>,
    request: aws::ModifyLoadBalancerAttributesInput,
) -> Result<aws::ModifyLoadBalancerAttributesOutput, Fault> {
    let found = find::balancer(tx, tx.caller, &request.load_balancer_arn)?;
    some(&request.attributes)?;
    let given = request.attributes.into_iter().map(|one| (one.key, one.value));
    let after = attribute::set(Owner::Balancer, &[BALANCER], &found.attributes, given)?;
    let get = |key: &str| attribute::get(BALANCER, &after, key);
    if get("load_balancing.cross_zone.enabled") != "true" {
        return Err(faults::configuration(
            "Cross-zone load balancing cannot be disabled for load balancers with type 'application'",
        ));
    }
    for log in ["access_logs", "connection_logs", "health_check_logs"] {
        if get(&format!("{log}.s3.enabled")) == "true" && get(&format!("{log}.s3.bucket")).is_empty() {
            return Err(faults::configuration(format_args!(
                "The attribute '{log}.s3.bucket' must be specified when '{log}.s3.enabled' is 'true'"
            )));
        }
    }
    let attributes = balancer_shapes(&after);
    tx.put(Balancer { attributes: after, ..(*found).clone() });
    Ok(aws::ModifyLoadBalancerAttributesOutput { attributes: Some(attributes) })
}

pub fn describe_group(
    view: &View<'_>,
    request: aws::DescribeTargetGroupAttributesInput,
) -> Result<aws::DescribeTargetGroupAttributesOutput, Fault> {
    let found = find::group(view, view.caller, &request.target_group_arn)?;
    Ok(aws::DescribeTargetGroupAttributesOutput { attributes: Some(group_shapes(&found.attributes)) })
}

fn group_shapes(set: &Set) -> Vec<aws::TargetGroupAttribute> {
    all(&[GROUP], set).map(|(key, value)| aws::TargetGroupAttribute { key, value }).collect()
}

pub fn modify_group(
    tx: &mut Tx<'_>,
    request: aws::ModifyTargetGroupAttributesInput,
) -> Result<aws::ModifyTargetGroupAttributesOutput, Fault> {
    let found = find::group(tx, tx.caller, &request.target_group_arn)?;
    some(&request.attributes)?;
    let given = request.attributes.into_iter().map(|one| (one.key, one.value));
    let after = attribute::set(Owner::Group, &[GROUP], &found.attributes, given)?;
    check_group(&after)?;
    let attributes = group_shapes(&after);
    tx.put(Group { attributes: after, ..(*found).clone() });
    Ok(aws::ModifyTargetGroupAttributesOutput { attributes: Some(attributes) })
}

/// What the attributes must be together.
fn check_group(after: &Set) -> Result<(), Fault> {
    let get = |key: &str| attribute::get(GROUP, after, key);
    let algorithm = get("load_balancing.algorithm.type");
    if get("load_balancing.algorithm.anomaly_mitigation") == "on" && algorithm != "weighted_random" {
        return Err(faults::configuration(
            "Anomaly mitigation can only be enabled with the load balancing algorithm 'weighted_random'",
        ));
    }
    if get("slow_start.duration_seconds") != "0" && algorithm != "round_robin" {
        return Err(faults::configuration(format_args!(
            "Slow start cannot be enabled with the load balancing algorithm '{algorithm}'"
        )));
    }
    let name = get("stickiness.app_cookie.cookie_name");
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(is_token) {
        return Err(faults::invalid(format_args!(
            "The cookie name '{name}' contains a character that is not valid"
        )));
    }
    // AWS: these are the load balancer's own.
    if ["AWSALB", "AWSALBAPP", "AWSALBTG"].iter().any(|own| name.starts_with(own)) {
        return Err(faults::invalid(format_args!(
            "The cookie name '{name}' cannot begin with 'AWSALB', 'AWSALBAPP' or 'AWSALBTG'"
        )));
    }
    let is_application = get("stickiness.enabled") == "true" && get("stickiness.type") == "app_cookie";
    if is_application && name.is_empty() {
        return Err(faults::configuration(
            "The attribute 'stickiness.app_cookie.cookie_name' must be specified with stickiness type 'app_cookie'",
        ));
    }
    Ok(())
}

fn listener_keys(listener: &Listener) -> &'static [&'static [Attribute]] {
    if listener.is_secure() { &[SECURE_LISTENER, LISTENER] } else { &[LISTENER] }
}

fn listener_shapes(listener: &Listener) -> Vec<aws::ListenerAttribute> {
    let shape = |(key, value)| aws::ListenerAttribute { key, value };
    all(listener_keys(listener), &listener.attributes).map(shape).collect()
}

pub fn describe_listener(
    view: &View<'_>,
    request: aws::DescribeListenerAttributesInput,
) -> Result<aws::DescribeListenerAttributesOutput, Fault> {
    let found = find::listener(view, view.caller, &request.listener_arn)?;
    Ok(aws::DescribeListenerAttributesOutput { attributes: Some(listener_shapes(&found)) })
}

pub fn modify_listener(
    tx: &mut Tx<'_>,
    request: aws::ModifyListenerAttributesInput,
) -> Result<aws::ModifyListenerAttributesOutput, Fault> {
    let found = find::listener(tx, tx.caller, &request.listener_arn)?;
    some(&request.attributes)?;
    let given = request.attributes.into_iter().map(|one| (one.key, one.value));
    let attributes = attribute::set(Owner::Listener, listener_keys(&found), &found.attributes, given)?;
    let after = Listener { attributes, ..(*found).clone() };
    let shapes = listener_shapes(&after);
    tx.put(after);
    Ok(aws::ModifyListenerAttributesOutput { attributes: Some(shapes) })
}
