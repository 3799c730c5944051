//! The operations, one file per resource.

mod account;
mod action;
mod attribute;
mod balancer;
mod certificate;
mod ec2;
mod find;
mod group;
mod listener;
mod rule;
mod tag;
pub mod target;

use aws_elbv2::op;
use service::{Acts, Operation};

/// Every operation with the members that it acts on.
pub fn operations() -> Vec<Operation> {
    let mut all = balancers();
    all.extend(groups());
    all.extend(listeners());
    all.extend(rest());
    all
}

fn balancers() -> Vec<Operation> {
    let groups = Acts::On(&["LoadBalancerArn", "SecurityGroups"]);
    vec![
        Operation::write::<op::CreateLoadBalancer>(Acts::On(balancer::CREATE), balancer::create),
        Operation::read::<op::DescribeLoadBalancers>(Acts::All, balancer::describe),
        Operation::write::<op::DeleteLoadBalancer>(Acts::All, balancer::delete),
        Operation::write::<op::SetSubnets>(Acts::On(balancer::SET_SUBNETS), balancer::set_subnets),
        Operation::write::<op::SetSecurityGroups>(groups, balancer::set_security_groups),
        Operation::write::<op::SetIpAddressType>(Acts::All, balancer::set_address_type),
        Operation::read::<op::DescribeLoadBalancerAttributes>(Acts::All, attribute::describe_balancer),
        Operation::write::<op::ModifyLoadBalancerAttributes>(Acts::All, attribute::modify_balancer),
    ]
}

fn groups() -> Vec<Operation> {
    vec![
        Operation::write::<op::CreateTargetGroup>(Acts::On(group::CREATE), group::create),
        Operation::read::<op::DescribeTargetGroups>(Acts::All, group::describe),
        Operation::write::<op::ModifyTargetGroup>(Acts::All, group::modify),
        Operation::write::<op::DeleteTargetGroup>(Acts::All, group::delete),
        Operation::read::<op::DescribeTargetGroupAttributes>(Acts::All, attribute::describe_group),
        Operation::write::<op::ModifyTargetGroupAttributes>(Acts::All, attribute::modify_group),
        Operation::write::<op::RegisterTargets>(Acts::All, target::register),
        Operation::write::<op::DeregisterTargets>(Acts::All, target::deregister),
        Operation::read::<op::DescribeTargetHealth>(Acts::All, target::describe_health),
    ]
}

fn listeners() -> Vec<Operation> {
    vec![
        Operation::write::<op::CreateListener>(Acts::On(listener::CREATE), listener::create),
        Operation::read::<op::DescribeListeners>(Acts::All, listener::describe),
        Operation::write::<op::ModifyListener>(Acts::On(listener::MODIFY), listener::modify),
        Operation::write::<op::DeleteListener>(Acts::All, listener::delete),
        Operation::read::<op::DescribeListenerAttributes>(Acts::All, attribute::describe_listener),
        Operation::write::<op::ModifyListenerAttributes>(Acts::All, attribute::modify_listener),
        Operation::write::<op::AddListenerCertificates>(Acts::All, certificate::add),
        Operation::write::<op::RemoveListenerCertificates>(Acts::All, certificate::remove),
        Operation::read::<op::DescribeListenerCertificates>(Acts::All, certificate::describe),
        Operation::write::<op::CreateRule>(Acts::All, rule::create),
        Operation::read::<op::DescribeRules>(Acts::All, rule::describe),
        Operation::write::<op::ModifyRule>(Acts::All, rule::modify),
        Operation::write::<op::DeleteRule>(Acts::All, rule::delete),
        Operation::write::<op::SetRulePriorities>(Acts::All, rule::set_priorities),
    ]
}

fn rest() -> Vec<Operation> {
    vec![
        Operation::write::<op::AddTags>(Acts::All, tag::add),
        Operation::write::<op::RemoveTags>(Acts::All, tag::remove),
        Operation::read::<op::DescribeTags>(Acts::All, tag::describe),
        Operation::read::<op::DescribeAccountLimits>(Acts::All, account::limits),
        Operation::read::<op::DescribeSSLPolicies>(Acts::All, account::policies),
        Operation::read::<op::DescribeCapacityReservation>(Acts::All, account::capacity),
    ]
}
