//! The operations, one file per resource.

mod account;
mod internet_gateway;
pub mod network_interface;
mod route_table;
mod security_group;
mod security_group_rule;
mod subnet;
mod vpc;
mod zone;

use aws_ec2::op;
use service::{Acts, Operation};

/// Every operation with the members that it acts on.
pub fn operations() -> Vec<Operation> {
    let interface = Acts::On(&[
        "ClientToken",
        "Description",
        "DryRun",
        "Groups",
        "InterfaceType",
        "PrivateIpAddress",
        "SubnetId",
        "TagSpecifications",
    ]);
    // AWS: egress has no short form.
    let egress = Acts::On(&["DryRun", "GroupId", "IpPermissions", "TagSpecifications"]);
    let revoke = Acts::On(&["DryRun", "GroupId", "IpPermissions", "SecurityGroupRuleIds"]);
    vec![
        Operation::write::<op::CreateNetworkInterface>(interface, network_interface::create),
        Operation::write::<op::DeleteNetworkInterface>(Acts::All, network_interface::delete),
        Operation::read::<op::DescribeNetworkInterfaces>(Acts::All, network_interface::describe),
        Operation::read::<op::DescribeVpcs>(Acts::All, vpc::describe),
        Operation::read::<op::DescribeSubnets>(Acts::All, subnet::describe),
        Operation::read::<op::DescribeSecurityGroups>(Acts::All, security_group::describe),
        Operation::write::<op::CreateSecurityGroup>(Acts::All, security_group::create),
        Operation::write::<op::DeleteSecurityGroup>(Acts::All, security_group::delete),
        Operation::read::<op::DescribeSecurityGroupReferences>(
            Acts::All,
            security_group::describe_references,
        ),
        Operation::read::<op::DescribeSecurityGroupRules>(Acts::All, security_group_rule::describe),
        Operation::write::<op::AuthorizeSecurityGroupIngress>(
            Acts::All,
            security_group_rule::authorize_ingress,
        ),
        Operation::write::<op::AuthorizeSecurityGroupEgress>(egress, security_group_rule::authorize_egress),
        Operation::write::<op::RevokeSecurityGroupIngress>(Acts::All, security_group_rule::revoke_ingress),
        Operation::write::<op::RevokeSecurityGroupEgress>(revoke, security_group_rule::revoke_egress),
        Operation::write::<op::ModifySecurityGroupRules>(Acts::All, security_group_rule::modify),
        Operation::write::<op::UpdateSecurityGroupRuleDescriptionsIngress>(
            Acts::All,
            security_group_rule::describe_ingress_rules,
        ),
        Operation::write::<op::UpdateSecurityGroupRuleDescriptionsEgress>(
            Acts::All,
            security_group_rule::describe_egress_rules,
        ),
        Operation::read::<op::DescribeRouteTables>(Acts::All, route_table::describe),
        Operation::read::<op::DescribeInternetGateways>(Acts::All, internet_gateway::describe),
        Operation::read::<op::DescribeAvailabilityZones>(Acts::All, zone::describe_zones),
        Operation::read::<op::DescribeRegions>(Acts::All, zone::describe_regions),
        Operation::read::<op::DescribeAccountAttributes>(Acts::All, account::describe),
    ]
}
