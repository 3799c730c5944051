//! The operations, one file per resource.

mod account;
mod internet_gateway;
pub mod network_interface;
mod route_table;
mod security_group;
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
    vec![
        Operation::write::<op::CreateNetworkInterface>(interface, network_interface::create),
        Operation::write::<op::DeleteNetworkInterface>(Acts::All, network_interface::delete),
        Operation::read::<op::DescribeNetworkInterfaces>(Acts::All, network_interface::describe),
        Operation::read::<op::DescribeVpcs>(Acts::All, vpc::describe),
        Operation::read::<op::DescribeSubnets>(Acts::All, subnet::describe),
        Operation::read::<op::DescribeSecurityGroups>(Acts::All, security_group::describe),
        Operation::read::<op::DescribeRouteTables>(Acts::All, route_table::describe),
        Operation::read::<op::DescribeInternetGateways>(Acts::All, internet_gateway::describe),
        Operation::read::<op::DescribeAvailabilityZones>(Acts::All, zone::describe_zones),
        Operation::read::<op::DescribeRegions>(Acts::All, zone::describe_regions),
        Operation::read::<op::DescribeAccountAttributes>(Acts::All, account::describe),
    ]
}
