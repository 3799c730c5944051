//! The operations, one file per resource.

mod account;
mod instance;
mod internet_gateway;
mod network_acl;
pub mod network_interface;
mod route;
mod route_table;
mod security_group;
mod security_group_rule;
mod subnet;
mod tag;
mod vpc;
mod zone;

use aws_ec2::op;
use service::{Acts, Operation};

/// Every operation with the members that it acts on.
pub fn operations() -> Vec<Operation> {
    let mut all = vec![
        Operation::read::<op::DescribeAvailabilityZones>(Acts::All, zone::describe_zones),
        Operation::read::<op::DescribeRegions>(Acts::All, zone::describe_regions),
        Operation::read::<op::DescribeAccountAttributes>(Acts::All, account::describe),
        Operation::write::<op::CreateTags>(Acts::All, tag::create),
        Operation::write::<op::DeleteTags>(Acts::All, tag::delete),
        Operation::read::<op::DescribeTags>(Acts::All, tag::describe),
    ];
    all.extend(networks());
    all.extend(routes());
    all.extend(security_groups());
    all.extend(interfaces());
    all
}

fn networks() -> Vec<Operation> {
    let vpc = Acts::On(&[
        "AmazonProvidedIpv6CidrBlock",
        "CidrBlock",
        "DryRun",
        "InstanceTenancy",
        "TagSpecifications",
    ]);
    let subnet = Acts::On(&[
        "AvailabilityZone",
        "AvailabilityZoneId",
        "CidrBlock",
        "DryRun",
        "TagSpecifications",
        "VpcId",
    ]);
    vec![
        Operation::write::<op::CreateVpc>(vpc, vpc::create),
        Operation::write::<op::DeleteVpc>(Acts::All, vpc::delete),
        Operation::read::<op::DescribeVpcs>(Acts::All, vpc::describe),
        Operation::write::<op::ModifyVpcAttribute>(Acts::All, vpc::modify_attribute),
        Operation::read::<op::DescribeVpcAttribute>(Acts::All, vpc::describe_attribute),
        Operation::write::<op::CreateSubnet>(subnet, subnet::create),
        Operation::write::<op::DeleteSubnet>(Acts::All, subnet::delete),
        Operation::read::<op::DescribeSubnets>(Acts::All, subnet::describe),
        Operation::read::<op::DescribeNetworkAcls>(Acts::All, network_acl::describe),
        Operation::write::<op::ModifySubnetAttribute>(
            Acts::On(&["MapPublicIpOnLaunch", "SubnetId"]),
            subnet::modify_attribute,
        ),
    ]
}

fn routes() -> Vec<Operation> {
    let route = Acts::On(&["DestinationCidrBlock", "DryRun", "GatewayId", "RouteTableId"]);
    vec![
        Operation::write::<op::CreateInternetGateway>(Acts::All, internet_gateway::create),
        Operation::write::<op::AttachInternetGateway>(Acts::All, internet_gateway::attach),
        Operation::write::<op::DetachInternetGateway>(Acts::All, internet_gateway::detach),
        Operation::write::<op::DeleteInternetGateway>(Acts::All, internet_gateway::delete),
        Operation::read::<op::DescribeInternetGateways>(Acts::All, internet_gateway::describe),
        Operation::write::<op::CreateRouteTable>(Acts::All, route_table::create),
        Operation::write::<op::DeleteRouteTable>(Acts::All, route_table::delete),
        Operation::read::<op::DescribeRouteTables>(Acts::All, route_table::describe),
        Operation::write::<op::AssociateRouteTable>(
            Acts::On(&["DryRun", "RouteTableId", "SubnetId"]),
            route_table::associate,
        ),
        Operation::write::<op::DisassociateRouteTable>(Acts::All, route_table::disassociate),
        Operation::write::<op::ReplaceRouteTableAssociation>(Acts::All, route_table::replace_association),
        Operation::write::<op::CreateRoute>(route, route::create),
        Operation::write::<op::ReplaceRoute>(route, route::replace),
        Operation::write::<op::DeleteRoute>(
            Acts::On(&["DestinationCidrBlock", "DryRun", "RouteTableId"]),
            route::delete,
        ),
    ]
}

fn security_groups() -> Vec<Operation> {
    // AWS: egress has no short form.
    let authorize = Acts::On(&["DryRun", "GroupId", "IpPermissions", "TagSpecifications"]);
    let revoke = Acts::On(&["DryRun", "GroupId", "IpPermissions", "SecurityGroupRuleIds"]);
    vec![
        Operation::write::<op::CreateSecurityGroup>(Acts::All, security_group::create),
        Operation::write::<op::DeleteSecurityGroup>(Acts::All, security_group::delete),
        Operation::read::<op::DescribeSecurityGroups>(Acts::All, security_group::describe),
        Operation::read::<op::DescribeSecurityGroupReferences>(
            Acts::All,
            security_group::describe_references,
        ),
        Operation::read::<op::DescribeSecurityGroupRules>(Acts::All, security_group_rule::describe),
        Operation::write::<op::AuthorizeSecurityGroupIngress>(
            Acts::All,
            security_group_rule::authorize_ingress,
        ),
        Operation::write::<op::AuthorizeSecurityGroupEgress>(
            authorize,
            security_group_rule::authorize_egress,
        ),
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
    ]
}

fn interfaces() -> Vec<Operation> {
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
    vec![
        Operation::write::<op::CreateNetworkInterface>(interface, network_interface::create),
        Operation::write::<op::DeleteNetworkInterface>(Acts::All, network_interface::delete),
        Operation::read::<op::DescribeNetworkInterfaces>(Acts::All, network_interface::describe),
        Operation::write::<op::ModifyNetworkInterfaceAttribute>(
            Acts::On(&["Description", "DryRun", "Groups", "NetworkInterfaceId"]),
            network_interface::modify_attribute,
        ),
        Operation::read::<op::DescribeNetworkInterfaceAttribute>(
            Acts::All,
            network_interface::describe_attribute,
        ),
        Operation::read::<op::DescribeInstances>(Acts::All, instance::describe),
        Operation::read::<op::DescribeInstanceStatus>(Acts::All, instance::describe_status),
        Operation::write::<op::ModifyInstanceAttribute>(
            Acts::On(&["DryRun", "Groups", "InstanceId"]),
            instance::modify_attribute,
        ),
    ]
}
