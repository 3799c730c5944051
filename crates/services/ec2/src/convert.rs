//! Records and default resources as the API shows them.

use aws_ec2 as api;
use base::{Arn, Tags};
use core_addresses::private_dns_name;

use crate::state::default::{Home, Subnet};
use crate::state::{Interface, Use};

/// Tags as lists show them: in the order of their keys.
pub fn tags(tags: &Tags) -> Vec<api::Tag> {
    let one =
        |(key, value): (&String, &String)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    tags.iter().map(one).collect()
}

pub fn text(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

pub fn vpc(home: &Home) -> api::Vpc {
    let association = api::VpcCidrBlockAssociation {
        association_id: Some(home.cidr_association()),
        cidr_block: text(home.cidr()),
        cidr_block_state: Some(api::VpcCidrBlockState { state: text("associated"), ..Default::default() }),
    };
    api::Vpc {
        vpc_id: Some(home.vpc()),
        owner_id: text(&home.account),
        state: text("available"),
        cidr_block: text(home.cidr()),
        cidr_block_association_set: Some(vec![association]),
        dhcp_options_id: Some(home.dhcp_options()),
        instance_tenancy: text("default"),
        is_default: Some(true),
        block_public_access_states: Some(block_public_access()),
        ..Default::default()
    }
}

fn block_public_access() -> api::BlockPublicAccessStates {
    api::BlockPublicAccessStates { internet_gateway_block_mode: text("off") }
}

/// `free` is how many addresses can still be given.
pub fn subnet(home: &Home, subnet: &Subnet, free: u64) -> api::Subnet {
    let arn = Arn::new("ec2", home.region.as_str(), &home.account, format_args!("subnet/{}", subnet.id));
    api::Subnet {
        subnet_id: text(&subnet.id),
        subnet_arn: text(arn),
        vpc_id: Some(home.vpc()),
        owner_id: text(&home.account),
        state: text("available"),
        cidr_block: text(subnet.cidr),
        available_ip_address_count: i32::try_from(free).ok(),
        availability_zone: text(&subnet.zone),
        availability_zone_id: text(&subnet.zone_id),
        default_for_az: Some(true),
        map_public_ip_on_launch: Some(true),
        map_customer_owned_ip_on_launch: Some(false),
        assign_ipv6_address_on_creation: Some(false),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        private_dns_name_options_on_launch: Some(api::PrivateDnsNameOptionsOnLaunch {
            hostname_type: text("ip-name"),
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
        }),
        block_public_access_states: Some(block_public_access()),
        ..Default::default()
    }
}

/// AWS: the default group lets in its own members and lets out everything.
pub fn security_group(home: &Home) -> api::SecurityGroup {
    let id = home.security_group();
    let arn = Arn::new("ec2", home.region.as_str(), &home.account, format_args!("security-group/{id}"));
    let everything = || api::IpPermission {
        ip_protocol: text("-1"),
        user_id_group_pairs: Some(Vec::new()),
        ip_ranges: Some(Vec::new()),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        ..Default::default()
    };
    let members =
        api::UserIdGroupPair { user_id: text(&home.account), group_id: text(&id), ..Default::default() };
    let anywhere = api::IpRange { cidr_ip: text("0.0.0.0/0"), ..Default::default() };
    api::SecurityGroup {
        group_id: Some(id),
        group_name: text("default"),
        description: text("default VPC security group"),
        owner_id: text(&home.account),
        vpc_id: Some(home.vpc()),
        security_group_arn: text(arn),
        ip_permissions: Some(vec![api::IpPermission {
            user_id_group_pairs: Some(vec![members]),
            ..everything()
        }]),
        ip_permissions_egress: Some(vec![api::IpPermission {
            ip_ranges: Some(vec![anywhere]),
            ..everything()
        }]),
        ..Default::default()
    }
}

pub fn route_table(home: &Home) -> api::RouteTable {
    let route = |destination: String, gateway: String, origin: &str| api::Route {
        destination_cidr_block: Some(destination),
        gateway_id: Some(gateway),
        origin: text(origin),
        state: text("active"),
        ..Default::default()
    };
    let main = api::RouteTableAssociation {
        main: Some(true),
        route_table_association_id: Some(home.route_table_association()),
        route_table_id: Some(home.route_table()),
        association_state: Some(api::RouteTableAssociationState {
            state: text("associated"),
            ..Default::default()
        }),
        ..Default::default()
    };
    api::RouteTable {
        route_table_id: Some(home.route_table()),
        vpc_id: Some(home.vpc()),
        owner_id: text(&home.account),
        associations: Some(vec![main]),
        propagating_vgws: Some(Vec::new()),
        routes: Some(vec![
            route(home.cidr().to_string(), String::from("local"), "CreateRouteTable"),
            route(String::from("0.0.0.0/0"), home.internet_gateway(), "CreateRoute"),
        ]),
        tags: Some(Vec::new()),
    }
}

pub fn internet_gateway(home: &Home) -> api::InternetGateway {
    let attachment = api::InternetGatewayAttachment { state: text("available"), vpc_id: Some(home.vpc()) };
    api::InternetGateway {
        internet_gateway_id: Some(home.internet_gateway()),
        owner_id: text(&home.account),
        attachments: Some(vec![attachment]),
        tags: Some(Vec::new()),
    }
}

/// AWS: `available` or `in-use`.
pub fn status(interface: &Interface) -> &'static str {
    match interface.used_by {
        Use::Free => "available",
        Use::Service { .. } => "in-use",
    }
}

pub fn network_interface(interface: &Interface) -> api::NetworkInterface {
    let home = interface.home();
    let subnet = home.subnet(&interface.subnet);
    let name = private_dns_name(interface.address, &interface.region);
    let groups = interface
        .security_groups
        .iter()
        .map(|group| api::GroupIdentifier { group_id: text(group), group_name: text("default") });
    let service = match &interface.used_by {
        Use::Free => None,
        Use::Service { service, attachment } => Some((service.clone(), attachment.clone())),
    };
    api::NetworkInterface {
        network_interface_id: text(&interface.id.0),
        subnet_id: text(&interface.subnet),
        vpc_id: Some(home.vpc()),
        availability_zone: subnet.as_ref().map(|subnet| subnet.zone.clone()),
        availability_zone_id: subnet.map(|subnet| subnet.zone_id),
        description: text(&interface.description),
        owner_id: text(&interface.account),
        requester_id: service.as_ref().map_or_else(|| text(&interface.account), |(name, _)| text(name)),
        requester_managed: Some(service.is_some()),
        status: text(status(interface)),
        mac_address: text(interface.mac()),
        private_ip_address: text(interface.address),
        private_dns_name: text(&name),
        private_ip_addresses: Some(vec![api::NetworkInterfacePrivateIpAddress {
            primary: Some(true),
            private_dns_name: Some(name),
            private_ip_address: text(interface.address),
            ..Default::default()
        }]),
        ipv6_addresses: Some(Vec::new()),
        source_dest_check: Some(true),
        interface_type: text("interface"),
        groups: Some(groups.collect()),
        attachment: service.map(|(name, id)| api::NetworkInterfaceAttachment {
            attachment_id: Some(id),
            attach_time: Some(interface.created_at),
            delete_on_termination: Some(false),
            device_index: Some(1),
            network_card_index: Some(0),
            instance_owner_id: Some(name),
            status: text("attached"),
            ..Default::default()
        }),
        tag_set: Some(tags(&interface.tags)),
        ..Default::default()
    }
}
